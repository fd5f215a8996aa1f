"""The devices and cores of this machine, and how they are shared among worker processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.errors import UserError
from tasks.process import ROOT

if TYPE_CHECKING:
    import torch


DRIVER_SECONDS = 20.0
# PyTorch's first import on a network drive may take minutes.
TORCH_SECONDS = 180.0
# To be asked, PyTorch must be imported, and for some answers it begins to use a GPU, whose memory a dashboard or a
# supervisor would hold until its end. So a process of its own asks and ends. CUDA's driver tells what a GPU computes in
# without using it.
ASK = """
import ctypes, json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
bf16 = [bool(torch.version.hip)] * count
if count and not torch.version.hip:
    driver, device, major = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_int()
    assert driver.cuInit(0) == 0
    for index in range(count):
        assert driver.cuDeviceGet(ctypes.byref(device), index) == 0
        assert driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device) == 0  # COMPUTE_CAPABILITY_MAJOR
        bf16[index] = major.value >= 8
built = f"CUDA {torch.version.cuda}" if torch.version.cuda else torch.version.hip and f"ROCm {torch.version.hip}"
print(json.dumps({"bf16": bf16, "torch": torch.__version__, "built": built or "CPUs only"}))
"""
# These variables hide GPUs.
_HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
# Measured on ResNet-20.
SLOW_BF16 = (
    "this machine's hardware does not compute in bf16: on a CPU, training then takes about 1.6 times as long as a "
    "plain loop in fp32; choose auto or fp32"
)


class DeviceError(UserError):
    """A device that this machine does not have."""


def devices(name: str, processes: int | None = None) -> list[str]:
    """Return the device of each worker process: one process per GPU, or one per core on a CPU machine.

    name: auto, cpu, cuda or cuda:<number>. processes: the number of processes instead, which take the devices in turn.
    Raises DeviceError for any other name, and for a GPU that this machine does not have.
    """
    if name == "cpu" or (name == "auto" and gpus() == 0):
        return ["cpu"] * (processes or cores())
    if name in ("auto", "cuda"):
        present = [f"cuda:{index}" for index in range(gpus())]
        if not present:
            raise DeviceError("device cuda: PyTorch finds no GPU here; give cpu or auto")
    elif re.fullmatch(r"cuda:\d+", name):
        if int(name.removeprefix("cuda:")) >= gpus():
            raise DeviceError(f"device {name}: PyTorch finds {gpus()} GPUs here, counted from 0; or give auto or cpu")
        present = [name]
    else:
        raise DeviceError(f"device {name!r} is not known; allowed: auto, cpu, cuda, or cuda:0 for one GPU")
    return [present[index % len(present)] for index in range(processes or len(present))]


def cores() -> int:
    """Return how many CPU cores this process may use; in a job of Slurm, those of the job."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Not every cluster binds a job to its cores.
    allotted = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(present, int(allotted)) if re.fullmatch("[1-9][0-9]*", allotted) else present


def threads(setting: int | Literal["auto"], processes: int) -> int:
    """Return the threads of each worker process: the number of the setting, or for auto an equal share of the cores."""
    return max(1, cores() // processes) if setting == "auto" else setting


@dataclass(frozen=True)
class _Gpus:
    """What PyTorch says of the GPUs here. bf16: for each that it can use, whether that computes in bf16.

    torch, built: its version, and what it is built for. fault: why it could not be asked, if it could not.
    """

    bf16: tuple[bool, ...] = ()
    torch: str = ""
    built: str = ""
    fault: str = ""


def gpus() -> int:
    """Return how many GPUs PyTorch can use; this process does not import it, and uses none."""
    return len(_ask().bf16)


def _ask() -> _Gpus:
    # Importing PyTorch takes seconds, so it is not imported on a machine without a GPU driver.
    return _asked(tuple(os.environ.get(name) for name in _HIDING)) if _has_driver() else _Gpus()


@cache
def _asked(hidden: tuple[str | None, ...]) -> _Gpus:
    """Return what PyTorch says in a process of its own; hidden: the values of _HIDING, for which the answer holds."""
    del hidden
    command = [sys.executable, "-c", ASK]
    try:
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TORCH_SECONDS, check=True)
        answer = json.loads(process.stdout)
        return _Gpus(tuple(answer["bf16"]), answer["torch"], answer["built"])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        return _Gpus(fault=(said.strip().splitlines() or [type(error).__name__])[-1])


def _has_driver() -> bool:
    # The devices are those of NVIDIA, of Windows' GPUs under WSL, and of AMD.
    places = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return shutil.which("nvidia-smi") is not None or any(Path(place).exists() for place in places)


def unusable_gpu() -> str:
    """Return why PyTorch cannot use the GPU of this machine and what to do; empty if it can, or if there is none."""
    # Whoever hides the GPUs knows that the CPU trains.
    hidden = any(os.environ.get(name) in ("", "-1") for name in _HIDING)
    if hidden or not _has_driver():
        return ""
    driver = _nvidia_driver()
    if driver is None and not Path("/dev/kfd").exists():
        return ""
    asked = _ask()
    if asked.bf16:
        return ""
    gpu = f"this machine has a GPU ({f'NVIDIA driver {driver}' if driver else 'AMD driver'}), but PyTorch "
    if asked.fault:
        return f"{gpu}could not be asked for it, so networks train on the CPU: {asked.fault}"
    return (
        f"{gpu}{asked.torch}, built for {asked.built}, cannot use it, so networks train on the CPU. Install a build of "
        "PyTorch for this driver (https://pytorch.org/get-started/locally), then start again"
    )


def _nvidia_driver() -> str | None:
    """Return the version of NVIDIA's driver, None if it reports no GPU."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.split()[0] if answer.split() else None


def precision(devices: Iterable[str]) -> Literal["fp32", "bf16"]:
    """Return the precision in which networks train fastest on some devices: bf16 if all of them compute in it."""
    return "bf16" if all(_computes_in_bf16(device) for device in devices) else "fp32"


def _computes_in_bf16(device: str) -> bool:
    if device == "cpu":
        flags = Path("/proc/cpuinfo")
        return flags.exists() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.read_text().split())
    # GPUs before Ampere do not compute in bf16, and PyTorch's emulation is slow.
    bf16, index = _ask().bf16, int(device.partition(":")[2] or 0)
    return index < len(bf16) and bf16[index]


def gpu_name(device: "torch.device") -> str | None:
    """Return the name of a GPU, such as 'NVIDIA A100'; None for a CPU."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def gpu_memory(device: "torch.device") -> tuple[int, int] | None:
    """Return the used and total bytes of a GPU; None for a CPU and for a GPU on which this process has not trained yet.

    On such a GPU, the query alone would allocate hundreds of megabytes.
    """
    import torch

    if device.type != "cuda" or not torch.cuda.is_initialized() or not torch.cuda.memory_reserved(device):
        return None
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError:
        # A broken GPU makes its stage fail with a message; the heartbeat must not stop.
        return None
    return total - free, total
