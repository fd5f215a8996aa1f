"""What a benchmark ran on."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("streamlit", "altair", "duckdb", "pandas", "playwright")


def stamp(command: str, packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return what stands at the head of all figures: when, by which command, on what, and how busy that was."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return {"date": now, "command": command, **described(packages), "load": os.getloadavg()[1]}


def described(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return the processor, its cores, and the versions of what counts for speed."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}
