"""The setup of a process for training on a device, and its errors for a lack of memory."""

import ctypes
import os
import platform
from collections.abc import Callable

import torch

from engine.training.capacity import QUEUES

# glibc's malloc.h has these two options: above one size a block comes straight from the system, and above the other
# free memory is returned to it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST, NEVER = 2**30, -1

# The networks for which cuDNN may use algorithms that add in an order which changes from run to run. Whether these are
# faster is to be measured per network (`benchmarks.concurrency --cudnn fixed any`); until then no network is here.
ANY_ORDER: frozenset[str] = frozenset()

# What the CUDA runtime, PyTorch's allocator, cuBLAS and cuDNN 8 and 9 say if memory runs out.
NO_MEMORY = ("out of memory", "cudaErrorMemoryAllocation", "ALLOC_FAILED", "ALLOCATION_FAILED")
# cuDNN also says so if none of its algorithms gets its workspace, and if it has none for a layer.
NO_ENGINE = "unable to find an engine to execute this computation"
# Less than this share of a GPU's memory free is too little for a workspace.
LITTLE = 0.05


def get_ready(device: torch.device, threads: int) -> None:
    """Set up this process to train on a device, before its first tensor; threads: PyTorch's number of CPU threads."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    for name, value in QUEUES.items():
        os.environ.setdefault(name, value)
    torch.backends.cudnn.deterministic = True
    if device.type == "cuda" and device.index is not None:
        # Otherwise each use of a stream would also use the first GPU, and memory there.
        torch.cuda.set_device(device)


def choose_algorithms(network: str) -> None:
    """Let cuDNN choose among all algorithms for the networks of ANY_ORDER, else among those that add in one order."""
    torch.backends.cudnn.deterministic = network not in ANY_ORDER


def keep_freed_memory() -> bool:
    """Make this process reuse the memory of freed tensors, and return whether that is possible here.

    By default each tensor above 32 MiB at most gets new memory from the system, zeroed page by page when first touched:
    this took a third of ResNet-20's training time on a CPU and half of MobileNet-V2's. In return, the process keeps its
    largest size. Only glibc has these settings; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = {M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: NEVER}
    return all(libc.mallopt(option, value) == 1 for option, value in options.items())


def ran_out_of_memory(error: BaseException, little_left: Callable[[], bool] | None = None) -> bool:
    """Return whether an error means that the device ran out of memory; libraries also raise RuntimeError for it.

    little_left: whether hardly any memory is free, asked where the error alone does not say.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    return any(words in text for words in NO_MEMORY) or (NO_ENGINE in text and (little_left or _little_left)())


def _little_left() -> bool:
    """Return whether hardly any memory of the GPU in use is free."""
    if not torch.cuda.is_initialized():
        return False
    free, total = torch.cuda.mem_get_info()
    return free < LITTLE * total
