"""Checks that everything pinned has a wheel for each Python and platform that Ticketscope names.

    python -m benchmarks.wheels

asks the Python Package Index, prints what is missing, and ends with exit status 1 if anything is.
"""

import json
import re
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from install import NEWEST, OLDEST

ROOT = Path(__file__).parents[1]
INDEX = "https://pypi.org/simple/"
PYTHONS = [(OLDEST[0], minor) for minor in range(OLDEST[1], NEWEST[1] + 1)]
# glibc 2.28 is that of Debian 10 and RHEL 8; macOS 14 is the oldest that gets updates.
GLIBC, MACOS = 28, 14


def _linux(machine: str) -> list[str]:
    old = [f"manylinux{name}_{machine}" for name in ("2014", "2010", "1")]
    return [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)] + old


PLATFORMS = {
    "Linux x86_64": _linux("x86_64"),
    "Linux aarch64": _linux("aarch64"),
    # Wheels for both kinds of processors may name a macOS that had no arm64 yet.
    "macOS arm64": list(mac_platforms((MACOS, 0), "arm64")),
}


def accepted(python: tuple[int, int], platform: str) -> set[Tag]:
    """Return the tags of wheels that a Python of a platform installs."""
    tags = PLATFORMS[platform]
    interpreter = f"cp{python[0]}{python[1]}"
    return {*cpython_tags(python, platforms=tags), *compatible_tags(python, interpreter, tags)}


def pins(text: str) -> list[tuple[str, str]]:
    """Return the names and versions that lines like numpy==2.4.6 pin."""
    return re.findall(r"^([\w.-]+)==([\w.]+)$", text, re.MULTILINE)


def published(name: str, version: str) -> set[Tag]:
    """Return the tags of the wheels that the index has of a package's version."""
    request = urllib.request.Request(
        f"{INDEX}{canonicalize_name(name)}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60.0) as answer:
        files = [file["filename"] for file in json.load(answer)["files"] if not file.get("yanked")]
    return wheels(files, version)


def wheels(files: list[str], version: str) -> set[Tag]:
    """Return the tags of the wheels of a version among some files."""
    found: set[Tag] = set()
    for file in files:
        try:
            _, of_version, _, tags = parse_wheel_filename(file)
        except InvalidWheelFilename:
            continue
        if of_version == Version(version):
            found |= tags
    return found


def missing(tags: set[Tag]) -> list[str]:
    """Return on which platforms, by Python, none of some wheels can be installed."""
    return [
        f"Python {python[0]}.{python[1]} on {platform}"
        for python in PYTHONS
        for platform in PLATFORMS
        if not tags & accepted(python, platform)
    ]


def main() -> int:
    """Print what has no wheel and return an exit status."""
    wanted = sorted(
        {pin for name in ("requirements.txt", "constraints.txt") for pin in pins((ROOT / name).read_text())}
    )
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(wanted, pool.map(lambda pin: missing(published(*pin)), wanted), strict=True))
    for (name, version), places in found.items():
        if places:
            print(f"no wheel of {name} {version} for {', '.join(places)}")
    failing = sum(bool(places) for places in found.values())
    where = f"{len(PYTHONS)} Pythons on {len(PLATFORMS)} platforms"
    print(f"{len(wanted) - failing} of {len(wanted)} packages have wheels for {where}")
    return int(failing > 0)


if __name__ == "__main__":
    sys.exit(main())
