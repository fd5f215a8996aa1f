"""Repeated work: on a GPU recorded once as a CUDA graph and replayed, elsewhere called."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from engine.training.device import ran_out_of_memory

# In the first calls, libraries choose their kernels and allocate memory for them.
WARM_UPS = 3

log = logging.getLogger(__name__)

Work = Callable[[], None]
# The type of a memory pool, as `torch.cuda.graph_pool_handle` returns one, has no public name.
Pool = Any


def rehearse(work: Work, undone: Callable[[], AbstractContextManager[None]]) -> None:
    """Do some work a few times without effect; undone: a context that at its end restores all that the work changes."""
    with undone():
        for _ in range(WARM_UPS):
            work()


def recorded(
    work: Work, device: torch.device, undone: Callable[[], AbstractContextManager[None]], pool: Pool | None = None
) -> Work:
    """Return a function that does the same work with one launch if the device can record it, else the work itself.

    The work must read and write the same tensors each time and never wait for the device; it is rehearsed first. On a
    GPU, call this on the stream that it will be replayed on, which must not be the default one. Work that cannot be
    recorded is called as it is, with the same numbers. undone: as for `rehearse`. pool: the memory of the work's own
    tensors; works that never run at once and pass no tensors to each other may share one. Raises
    torch.OutOfMemoryError.
    """
    if device.type != "cuda":
        return work
    rehearse(work, undone)
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream(device)
    try:
        # Only errors of this thread count, because a worker's heartbeat queries the GPU's memory at the same time.
        with (
            _nothing_collected(),
            undone(),
            torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
        ):
            work()
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        log.warning("this network is trained without CUDA graphs, more slowly: %s", error)
        return work
    return graph.replay


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
