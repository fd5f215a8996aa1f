"""The setup of a process for training on a device, and its errors for a lack of memory."""

import ctypes
import os
import platform

import torch

from engine.capacity import STREAMS

# glibc's malloc.h has these two options: above one size a block comes straight from the system, and above the other
# free memory is returned to it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST, NEVER = 2**30, -1


def get_ready(device: torch.device, threads: int) -> None:
    """Set up this process to train on a device, before its first tensor; threads: PyTorch's number of CPU threads."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    if device.type != "cuda":
        return
    # By default CUDA has 8 queues, and streams that share one wait for each other.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", str(STREAMS))
    # cuDNN's other algorithms add in an order that changes from run to run.
    torch.backends.cudnn.deterministic = True
    if device.index is not None:
        # Otherwise each use of a stream would also use the first GPU, and memory there.
        torch.cuda.set_device(device)


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


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device ran out of memory; libraries also raise RuntimeError for it."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in ("out of memory", "ALLOC_FAILED"))
    )
