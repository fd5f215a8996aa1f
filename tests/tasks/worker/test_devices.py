"""The number of workers of a machine, and their devices."""

from pathlib import Path

import pytest
import torch

from tasks.worker.devices import DeviceError, cores, devices, gpus, precision, threads


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
