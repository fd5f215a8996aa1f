"""What a benchmark ran on."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Of a processor, in the system's words: what decides how fast it multiplies matrices.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = ("streamlit", "altair", "duckdb", "pandas", "playwright")


def stamp(command: str, packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return what stands at the head of all figures: when, by which command, on what, and how busy that was."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return {"date": now, "command": command, **described(packages), "load": os.getloadavg()[1]}


def described(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return the processor, its features and cores, and the versions of what counts for speed."""
    model, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        # Of the first core; on other processors than x86 some fields are missing.
        fields = dict(reversed([_field(line) for line in info.read_text().splitlines()]))
        model, flags = fields.get("model name", model), fields.get("flags", "")
    features = [feature for feature in FEATURES if feature in flags.split()]
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        **{"cpu": model, "features": features, "cores": os.cpu_count()},
        **{"python": platform.python_version(), "versions": versions},
    }


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
