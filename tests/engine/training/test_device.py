"""The settings of a process for its device, and the errors that mean that memory ran out."""

import platform
import subprocess
import sys

import pytest
import torch

from data.settings import Settings
from engine.training import device
from engine.training.capacity import STREAMS
from engine.training.device import choose_algorithms, get_ready, ran_out_of_memory


def test_a_process_uses_the_requested_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        get_ready(torch.device("cpu"), 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


REUSE = """
import ctypes, resource
from engine.training.device import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [ctypes.c_void_p(libc.malloc(ctypes.c_size_t(600_000_000))) for _ in range(2)]
    for block in blocks:
        ctypes.memset(block, 1, 600_000_000)
    for block in reversed(blocks):
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed_memory()
first = pages()
print(min(pages() for _ in range(4)) / first)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a setting that keeps freed memory")
def test_freed_memory_is_reused_whatever_its_size() -> None:
    # The script frees 1.2 GB each time; a step of MobileNet-V2 frees more than that.
    process = subprocess.run([sys.executable, "-c", REUSE], capture_output=True, text=True, check=True)
    assert float(process.stdout) < 0.1


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), True),
        (RuntimeError("cudaErrorMemoryAllocation"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (RuntimeError("operation not permitted when stream is capturing"), False),
        (OSError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_recognised_by_its_type_or_message(error: Exception, is_memory: bool) -> None:
    assert ran_out_of_memory(error) is is_memory


def test_a_layer_without_an_algorithm_means_lack_of_memory_only_where_little_is_left() -> None:
    error = RuntimeError("FIND was unable to find an engine to execute this computation")
    assert ran_out_of_memory(error, lambda: True)
    assert not ran_out_of_memory(error, lambda: False)
    if not torch.cuda.is_initialized():
        assert not ran_out_of_memory(error)


def test_cudnn_adds_in_one_order_unless_a_network_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.backends.cudnn.deterministic
    try:
        monkeypatch.setattr(device, "ANY_ORDER", frozenset({"mobilenet_v2"}))
        choose_algorithms("mobilenet_v2")
        assert not torch.backends.cudnn.deterministic
        choose_algorithms("resnet20")
        assert torch.backends.cudnn.deterministic
    finally:
        torch.backends.cudnn.deterministic = before


def test_at_most_one_stage_is_trained_per_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", str(STREAMS))
    assert Settings().together == STREAMS
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", str(STREAMS + 1))
    with pytest.raises(ValueError, match="TICKETSCOPE_TOGETHER"):
        Settings()
