"""Repeated work: on a GPU recorded once as a CUDA graph and replayed, elsewhere called."""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch

from engine.training.device import ran_out_of_memory

# In the first calls, libraries choose their kernels and allocate memory for them.
WARM_UPS = 3

Work = Callable[[], None]
# The type of a memory pool, as `torch.cuda.graph_pool_handle` returns one, has no public name.
Pool = Any


class NotRecorded(RuntimeError):
    """A GPU cannot record some work, which must be called instead, with the same numbers and more slowly."""


def rehearse(work: Work, undone: Callable[[], AbstractContextManager[None]]) -> None:
    """Do some work a few times without effect; undone: a context that at its end restores all that the work changes."""
    with undone():
        for _ in range(WARM_UPS):
            work()


class Recordings(dict[str | int, Work]):
    """The works of one training by name, recorded where the device can. failure: why one is called instead, if any."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.failure: str | None = None
        self._device = device
        # The graphs of one training never run at once, so they share one memory pool.
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def add(self, name: str | int, work: Work, undone: Callable[[], AbstractContextManager[None]]) -> None:
        """Record some work, see `recorded`."""
        try:
            self[name] = recorded(work, self._device, undone, self._pool)
        except NotRecorded as error:
            self.failure, self[name] = str(error), work


def recorded(
    work: Work, device: torch.device, undone: Callable[[], AbstractContextManager[None]], pool: Pool | None = None
) -> Work:
    """Return a function that does the same work with one launch if the device can record it, else the work itself.

    The work must read and write the same tensors each time and never wait for the device; it is rehearsed first. On a
    GPU, call this on the stream that it will be replayed on, which must not be the default one. Work of other streams
    runs on meanwhile. undone: as for `rehearse`. pool: the memory of the work's own tensors; works that never run at
    once and pass no tensors to each other may share one. Raises NotRecorded for work that a GPU cannot record, and
    torch.OutOfMemoryError.
    """
    if device.type != "cuda":
        return work
    rehearse(work, undone)
    try:
        return _captured(work, undone, pool).replay
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise NotRecorded(str(error)) from error
    try:
        # Memory that the allocator holds for reuse may suffice; to free it stops all streams.
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        return _captured(work, undone, pool).replay
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise NotRecorded(str(error)) from error


def _captured(
    work: Work, undone: Callable[[], AbstractContextManager[None]], pool: Pool | None
) -> torch.cuda.CUDAGraph:
    """Return the graph of some work, recorded on the present stream.

    `torch.cuda.graph` first waits for the whole device and frees all unused memory, which would stop the trainings that
    run while another joins, three times for each. A recording itself concerns its own stream alone. Trainings of one
    shape cannot share a graph, because it contains the addresses of the tensors that it was recorded with.
    """
    graph = torch.cuda.CUDAGraph()
    with _nothing_collected(), undone():
        # Only errors of this thread count, because a worker's heartbeat queries the GPU's memory at the same time.
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            work()
        except BaseException:
            # The stream cannot be used until the recording has ended, which fails too if the work broke it.
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()
    return graph


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Pause Python's garbage collector: freeing another graph while one is recorded makes the recording fail."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
