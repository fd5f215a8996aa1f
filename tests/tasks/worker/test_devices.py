"""The number of workers of a machine, and their devices."""

from pathlib import Path

import pytest
import torch
from redis import Redis

from tasks.queue import telemetry
from tasks.worker.devices import DeviceError, cores, devices, gpus, precision, threads, unusable_gpu
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
