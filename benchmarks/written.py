"""Writing down what a benchmark measured, with its spread, when and on what."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.machine import ROOT, stamp


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some values, the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def write(
    name: str,
    file: Path | None,
    device: torch.device,
    packages: Sequence[str],
    measured: Mapping[str, Any],
    console: Console,
) -> None:
    """Write figures to a file; an empty path stands for one under results/ with device and date, None for no file."""
    if file is None:
        return
    out = (
        ROOT / "benchmarks" / "results" / f"{name}-{device.type}-{datetime.now(UTC):%Y-%m-%d}.json"
        if file == Path()
        else file
    )
    about = {
        # Where things lay is nobody's business.
        **stamp(" ".join([f"python -m benchmarks.{name}", *map(_plain, sys.argv[1:])]), packages),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
    out.write_text(json.dumps({**about, **measured}, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {out}", soft_wrap=True, highlight=False)


def _plain(argument: str) -> str:
    return "folder:DIR" if argument.startswith("folder:") else Path(argument).name if "/" in argument else argument
