"""The streams of a GPU, each lent to one training at a time."""

import weakref
from collections.abc import Callable, Hashable
from functools import cache
from typing import Generic, TypeVar

import torch

from engine.training.capacity import STREAMS

Stream = TypeVar("Stream", bound=Hashable)


class Pool(Generic[Stream]):
    """Lends streams. make: returns one; they may be equal.

    PyTorch hands out STREAMS streams of a device in turn, whether or not they are in use, so that a new training may
    get that of one which still runs, and wait for it. A stream that is back is lent again first. If all that `make`
    returns are in use, the one that the fewest use is lent once more.
    """

    def __init__(self, make: Callable[[], Stream]) -> None:
        self._make = make
        self._users: dict[Stream, int] = {}

    def lend(self) -> Stream:
        """Return a stream that nobody uses if there is one."""
        stream = next((stream for stream, users in self._users.items() if not users), None)
        if stream is None:
            stream = self._new()
        if stream is None:
            stream = min(self._users, key=self._users.__getitem__)
        self._users[stream] = self._users.get(stream, 0) + 1
        return stream

    def take_back(self, stream: Stream) -> None:
        """Note that a stream which was lent is used no more."""
        self._users[stream] -= 1

    def _new(self) -> Stream | None:
        """Return a stream that was never lent, None if the next STREAMS that are made all were."""
        made = (self._make() for _ in range(STREAMS))
        return next((stream for stream in made if stream not in self._users), None)


def lent(device: torch.device, borrower: object) -> tuple[torch.cuda.Stream | None, Callable[[], object]]:
    """Return a stream of a GPU, None for a CPU, and a function that gives it back.

    Without a call of that it is back once the borrower is freed.
    """
    if device.type != "cuda":
        return None, lambda: None
    streams = _pool(torch.cuda.current_device() if device.index is None else device.index)
    stream = streams.lend()
    give_back = weakref.finalize(borrower, streams.take_back, stream)
    give_back.atexit = False
    return stream, give_back


@cache
def _pool(index: int) -> Pool[torch.cuda.Stream]:
    return Pool(lambda: torch.cuda.Stream(index))
