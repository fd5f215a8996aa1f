"""The device that a process trains on: what is set before its first tensor, and how it says that memory ran out."""

import ctypes
import os
import platform

import torch

from engine.capacity import STREAMS

# From glibc's malloc.h: the size above which a block comes straight from the system, and that above which free
# memory is returned.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST, NEVER = 2**30, -1


def get_ready(device: torch.device, threads: int) -> None:
    """Set up this process to train on a device; call it before anything is there. threads: of PyTorch, on the CPU."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    if device.type != "cuda":
        return
    # By default CUDA has 8 queues, and streams that share one wait for each other.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", str(STREAMS))
    # cuDNN's other algorithms add in an order that changes from run to run.
    torch.backends.cudnn.deterministic = True
    if device.index is not None:
        # Else each use of a stream would go by way of the first GPU, and take memory there.
        torch.cuda.set_device(device)


def keep_freed_memory() -> bool:
    """Have this process keep the memory of a step's tensors for the next, and return whether that is possible here.

    By default each tensor above 32 MiB at most is new memory from the system, zeroed page by page when first touched:
    measured, a third of ResNet-20's training time on a CPU and half of MobileNet-V2's. The price is a process that
    stays as large as it once was. Only glibc has these settings; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    options = {M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: NEVER}
    return all(libc.mallopt(option, value) == 1 for option, value in options.items())


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the device's memory ran out, which not only PyTorch's own error for it does."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in ("out of memory", "ALLOC_FAILED"))
    )
