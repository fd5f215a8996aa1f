"""The kernels of training steps and the gaps between them, by PyTorch's profiler."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from engine.training.sgd import Training

LARGEST = 5
# Copies and fills are no kernels, though the GPU is busy with them.
NO_KERNELS = ("Memcpy", "Memset")

# Begin and end, in microseconds.
Span = tuple[float, float]


def measure(trainings: Sequence[Training], steps: int) -> dict[str, Any]:
    """Profile steps of some trainings side by side, and return what one step of one of them does on the device.

    On a CPU, operators that call no others take the place of kernels. Each training must have trained an epoch, after
    which its steps are recorded.
    """
    device = trainings[0].device
    for training in trainings:
        training.begin_epoch()
        training.wait()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiled:
        for _ in range(steps):
            for training in trainings:
                training.step(training.sizes[0])
        for training in trainings:
            training.wait()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = [event for event in profiled.events() or [] if _counts(event, device.type)]
    spans = [(event.time_range.start, event.time_range.end) for event in events]
    names = [str(event.name) for event in events]
    return {"steps": steps, "together": len(trainings), **summary(names, spans, steps * len(trainings))}


def _counts(event: Any, kind: str) -> bool:
    if kind == "cuda":
        return bool(event.device_type == DeviceType.CUDA) and not getattr(event, "is_user_annotation", False)
    return event.device_type == DeviceType.CPU and not event.cpu_children and event.name.startswith("aten::")


def summary(names: Sequence[str], spans: Sequence[Span], steps: int) -> dict[str, Any]:
    """Return kernels and milliseconds per step, the share of the time without any, and the kernels that take longest.

    spans: of the kernels of the names, in any order; they may overlap, as those of several streams do.
    """
    kernels = [span for name, span in zip(names, spans, strict=True) if not name.startswith(NO_KERNELS)]
    if not kernels:
        return {"kernels": 0.0}
    busy, gaps = 0.0, 0
    begin, reached = min(spans)
    whole = max(end for _, end in spans) - begin
    for start, end in sorted(spans):
        if start > reached:
            busy, begin, gaps = busy + reached - begin, start, gaps + 1
        reached = max(reached, end)
    busy += reached - begin
    longest: Counter[str] = Counter()
    for name, (start, end) in zip(names, spans, strict=True):
        longest[name] += end - start  # type: ignore[assignment]
    return {
        "kernels": len(kernels) / steps,
        "copies": (len(spans) - len(kernels)) / steps,
        "milliseconds": whole / 1e3 / steps,
        "busy_milliseconds": busy / 1e3 / steps,
        "idle_share": 1 - busy / whole if whole else 0.0,
        "gap_microseconds": (whole - busy) / gaps if gaps else 0.0,
        "longest": {name[:80]: total / 1e3 / steps for name, total in longest.most_common(LARGEST)},
    }
