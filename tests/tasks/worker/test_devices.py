"""The number of workers of a machine, and their devices."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from redis import Redis

from data.settings import settings
from engine.training.capacity import STREAMS
from tasks.process import ROOT, spawn
from tasks.queue import telemetry
from tasks.services.up import worker_services
from tasks.worker import devices as module
from tasks.worker.devices import DeviceError, cores, devices, gpus, precision, threads, unusable_gpu
from tests.machine import wait_for
from tests.tasks.conftest import Command
from tests.tasks.queue.test_telemetry import worker


def test_a_cpu_machine_gets_a_worker_for_each_core() -> None:
    assert devices("cpu") == ["cpu"] * cores()
    assert devices("cpu", 3) == ["cpu"] * 3


def test_gpus_are_those_of_pytorch() -> None:
    assert gpus() == torch.cuda.device_count()
    assert devices("auto")[0] == ("cuda:0" if gpus() else "cpu")


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:99", ""])
def test_an_absent_device_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match="auto"):
        devices(device)


def test_bf16_is_chosen_where_every_device_supports_it() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    assert precision(["cpu"]) == ("bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32")
    if not torch.cuda.is_available():
        assert precision(["cpu", "cuda:0"]) == "fp32"


def test_a_job_of_slurm_uses_its_cores_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    present = cores()
    for allotted, used in (("1", 1), (str(present + 1), present), ("", present), ("many", present)):
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", allotted)
        assert cores() == used


def test_threads_are_as_set_or_a_share_of_the_cores() -> None:
    assert threads(3, 2) == 3
    assert threads("auto", 1) == cores()
    assert threads("auto", cores()) == threads("auto", 10 * cores()) == 1


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver's program that reports one GPU."""
    if torch.cuda.is_available():
        pytest.skip("PyTorch can use the GPU of this machine")
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 470.42.01\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_a_gpu_that_pytorch_cannot_use_is_named_with_what_to_do(nvidia_smi: Path) -> None:
    assert nvidia_smi.exists()
    warning = unusable_gpu()
    for words in ("NVIDIA driver 470.42.01", f"PyTorch {torch.__version__}", "train on the CPU", "pytorch.org"):
        assert words in warning


def test_up_and_status_warn_of_it(nvidia_smi: Path, command: Command, redis: Redis) -> None:
    assert nvidia_smi.exists()
    code, _, error = command("up", "--host", "0.0.0.0")
    assert code == 2
    assert "warning: this machine has a GPU" in error
    telemetry.beat(redis, worker("lab-1:1", host="lab", warning=unusable_gpu()))
    _, output, _ = command("status")
    assert "warning: lab: this machine has a GPU" in output


def test_no_gpu_and_hidden_gpus_cause_no_warning(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert unusable_gpu() == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    nvidia_smi.write_text("#!/bin/sh\necho 'No devices were found'; exit 6\n")
    assert unusable_gpu() == ""
    nvidia_smi.unlink()
    assert unusable_gpu() == ""


UNUSED = """
import ctypes, os, sys
from tasks.studies import planning
from tasks.worker import devices as module
from tasks.worker.devices import devices, gpus, precision, unusable_gpu

gpus(), devices("auto"), precision(["cuda:0"]), precision(devices("auto")), unusable_gpu()
assert "torch" not in sys.modules, "PyTorch is imported"
if os.path.exists("/dev/nvidiactl"):
    driver, flags, active = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint(), ctypes.c_int()
    assert driver.cuInit(0) == 0
    for index in range(gpus()):
        assert driver.cuDevicePrimaryCtxGetState(index, ctypes.byref(flags), ctypes.byref(active)) == 0
        assert not active.value, "this process uses a GPU"
"""


def test_asking_for_gpus_and_their_precision_neither_imports_pytorch_nor_uses_a_gpu(
    request: pytest.FixtureRequest,
) -> None:
    if not torch.cuda.is_available():
        # With a driver's program in PATH, PyTorch is asked here too.
        request.getfixturevalue("nvidia_smi")
    subprocess.run([sys.executable, "-c", UNUSED], check=True, cwd=ROOT)


def test_only_the_module_of_devices_names_pytorchs_cuda_above_the_engine() -> None:
    """Whatever else asked for a GPU could use one in a dashboard or a supervisor, which never end."""
    files = [file for floor in ("app", "data", "tasks", "ticketscope") for file in (ROOT / floor).rglob("*.py")]
    named = {str(file.relative_to(ROOT)) for file in files if "torch.cuda" in file.read_text(encoding="utf-8")}
    assert named == {"tasks/worker/devices.py", "tasks/worker/capacity.py"}


def test_a_worker_has_a_queue_for_each_stream_unless_the_user_says_otherwise(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS", raising=False)
    [service] = worker_services(settings(), ["cpu"], 20.0, 1.0)
    process = spawn(service.command, extra=service.environment)
    try:
        [live] = wait_for(lambda: telemetry.workers(redis))
        # CUDA reads it when a process first uses a GPU; it is there from the worker's first moment.
        assert psutil.Process(live.pid).environ()["CUDA_DEVICE_MAX_CONNECTIONS"] == str(STREAMS)
    finally:
        process.kill()
        process.wait()
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "5")
    [service] = worker_services(settings(), ["cpu"], 20.0, 1.0)
    assert "CUDA_DEVICE_MAX_CONNECTIONS" not in service.environment


def test_a_pytorch_that_cannot_be_asked_is_named(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvidia_smi.exists()
    broken = nvidia_smi.with_name("python")
    broken.write_text("#!/bin/sh\necho 'ImportError: libcudart.so.12: cannot open shared object file' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    module._asked.cache_clear()
    assert gpus() == 0
    assert "could not be asked" in unusable_gpu()
    assert "libcudart.so.12" in unusable_gpu()
    module._asked.cache_clear()
