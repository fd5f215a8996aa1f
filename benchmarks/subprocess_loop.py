"""Runs a training loop in another process, so that its settings affect no other loop."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol


class Loop(Protocol):
    """Trains an epoch at a time."""

    def run_epoch(self) -> float:
        """Train one epoch, evaluate, and return the test accuracy in percent."""


class SubprocessLoop:
    """A context in which a loop in another process trains an epoch at each request.

    make: a picklable function that returns the loop, called in the other process before PyTorch is used there.
    """

    def __init__(self, make: Callable[[], Loop]) -> None:
        # A fork of a process that has used PyTorch may hang, so the process is spawned.
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make))
        self._process.start()
        theirs.close()

    def begin_epoch(self) -> None:
        """Request an epoch, and return at once."""
        self._ours.send("epoch")

    def end_epoch(self) -> float:
        """Wait for that epoch and return the test accuracy in percent; EOFError if the process has died."""
        return float(self._ours.recv())

    def run_epoch(self) -> float:
        """Train one epoch, evaluate, and return the test accuracy in percent; EOFError if the process has died."""
        self.begin_epoch()
        return self.end_epoch()

    def __enter__(self) -> "SubprocessLoop":
        return self

    def __exit__(self, *error: object) -> None:
        self._ours.close()
        self._process.join()


def _serve(requests: Connection, make: Callable[[], Loop]) -> None:
    loop = make()
    try:
        while requests.recv():
            requests.send(loop.run_epoch())
    except EOFError:
        return
