"""Work that is done again and again: on a GPU recorded once as a CUDA graph and replayed, elsewhere simply called."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

# Libraries choose their kernels, and allocate for them, in the first rounds.
WARM_UPS = 3

log = logging.getLogger(__name__)

Work = Callable[[], None]


def rehearse(work: Work, undone: Callable[[], AbstractContextManager[None]]) -> None:
    """Do some work a few times, to no effect: undone() puts back, at its end, all that the work changes."""
    with undone():
        for _ in range(WARM_UPS):
            work()


def recorded(work: Work, device: torch.device, undone: Callable[[], AbstractContextManager[None]]) -> Work:
    """Return a function that does the same work with one launch where the device can record it, else the work itself.

    The work must read and write the same tensors each time and never wait for the device. It is rehearsed first, within
    `undone`. On a GPU it has to be called on the stream, not the default one, that it will be replayed on. Work that
    cannot be recorded is called as it is, with the same numbers.
    """
    if device.type != "cuda":
        return work
    rehearse(work, undone)
    graph = torch.cuda.CUDAGraph()
    try:
        # Of this thread only: the signs of life of a worker ask the GPU for its memory meanwhile.
        with (
            undone(),
            torch.cuda.graph(graph, stream=torch.cuda.current_stream(device), capture_error_mode="thread_local"),
        ):
            work()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.warning("this network is trained without CUDA graphs, more slowly: %s", error)
        return work
    return graph.replay
