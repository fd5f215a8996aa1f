"""Work that is done again and again: on a GPU recorded once as a CUDA graph and replayed, elsewhere simply called."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from engine.training.device import ran_out_of_memory

# Libraries choose their kernels, and allocate for them, in the first rounds.
WARM_UPS = 3

log = logging.getLogger(__name__)

Work = Callable[[], None]
# A pool of a GPU's memory, as `torch.cuda.graph_pool_handle` makes one; its type has no public name.
Pool = Any


def rehearse(work: Work, undone: Callable[[], AbstractContextManager[None]]) -> None:
    """Do some work a few times, to no effect: undone() puts back, at its end, all that the work changes."""
    with undone():
        for _ in range(WARM_UPS):
            work()


def recorded(
    work: Work, device: torch.device, undone: Callable[[], AbstractContextManager[None]], pool: Pool | None = None
) -> Work:
    """Return a function that does the same work with one launch where the device can record it, else the work itself.

    The work must read and write the same tensors each time and never wait for the device. It is rehearsed first, within
    `undone`. On a GPU it has to be called on the stream, not the default one, that it will be replayed on. Work that
    cannot be recorded is called as it is, with the same numbers. pool: the memory that the work's own tensors take;
    works that never run at once, and leave nothing there for each other, may share one. Raises torch.OutOfMemoryError.
    """
    if device.type != "cuda":
        return work
    rehearse(work, undone)
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream(device)
    try:
        # Errors of this thread alone count: a worker's signs of life ask the GPU for its memory at the same time.
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
    """Hold Python's collector off: freeing another graph while one is recorded spoils the recording."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
