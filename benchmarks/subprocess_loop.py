"""A training loop in a process of its own, so that no setting of one is in force for another."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol


class Loop(Protocol):
    """Trains an epoch at a time."""

    def run_epoch(self) -> float:
        """Train one epoch, evaluate, and return the test accuracy in percent."""


class SubprocessLoop:
    """A loop in a process of its own: a context, in which it waits between epochs.

    make: a picklable function that returns the loop, called in its process before PyTorch was used there.
    """

    def __init__(self, make: Callable[[], Loop]) -> None:
        # Spawned: a fork of a process that has used PyTorch hangs.
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make))
        self._process.start()
        theirs.close()

    def begin_epoch(self) -> None:
        """Ask it to train an epoch, and return at once."""
        self._ours.send("epoch")

    def end_epoch(self) -> float:
        """Wait for that epoch and return the test accuracy in percent; EOFError where the loop has died."""
        return float(self._ours.recv())

    def run_epoch(self) -> float:
        """Train one epoch, evaluate, and return the test accuracy in percent; EOFError where the loop has died."""
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
