"""The packages that a bare machine lacks: collected as wheels in a folder here, and unpacked from it there."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MIB = 2**20
# What each group is for, the most important first; a group is carried whole or not at all. PyTorch is never carried,
# since the machine's own fits its driver.
GROUPS: dict[str, tuple[str, ...]] = {
    "training and measuring": (
        *("pydantic", "pydantic_core", "pydantic-settings", "python-dotenv", "annotated-types", "typing-inspection"),
        *("typing_extensions", "platformdirs", "filelock", "fsspec", "tomli_w", "safetensors", "pillow", "numpy"),
        *("rich", "markdown-it-py", "mdurl", "Pygments"),
    ),
    "the tests": ("pytest", "pluggy", "iniconfig", "packaging"),
    "bundle and verdicts": ("duckdb", "pandas", "python-dateutil", "six", "scipy", "pyarrow"),
    "pictures as Vega-Lite": (
        *("altair", "narwhals", "jsonschema", "jsonschema-specifications", "referencing", "rpds-py", "attrs"),
        *("Jinja2", "MarkupSafe"),
    ),
    "pictures as SVG": ("vl-convert-python",),
    "images without --data": ("scikit-learn", "joblib", "threadpoolctl"),
}


def collect(folder: Path, python: str, budget: float, present: list[str]) -> list[str]:
    """Download the pinned wheels of each group that fits, and return a line for each group and the whole.

    python: the version there, such as 3.12. budget: MiB for all. present: packages that the machine has already.
    CalledProcessError where pip finds no wheel.
    """
    # Where wheels are unpacked, this package is not there.
    from benchmarks.wheels import pins

    versions = {_plain(name): pin for name, pin in pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    total, lines = 0.0, []
    for group, names in GROUPS.items():
        wanted = [name for name in names if _plain(name) not in set(map(_plain, present))]
        with tempfile.TemporaryDirectory() as aside:
            if wanted:
                _download([f"{name}=={versions[_plain(name)]}" for name in wanted], Path(aside), python)
            wheels = sorted(Path(aside).glob("*.whl"))
            size = sum(wheel.stat().st_size for wheel in wheels) / MIB
            fits = total + size <= budget
            lines.append(f"{group}: {size:.1f} MiB{'' if fits else f', left out, as {budget:g} MiB are allowed'}")
            if fits:
                total += size
                for wheel in wheels:
                    shutil.copy(wheel, folder)
    return [*lines, f"{folder}: {total:.1f} MiB in {len(list(folder.glob('*.whl')))} wheels"]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _download(pinned: list[str], folder: Path, python: str) -> None:
    tag = f"cp{python.replace('.', '')}"
    where = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    kinds = ["--implementation", "cp", "--abi", tag, "--abi", "abi3", "--abi", "none"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, *where, *kinds, "--dest", str(folder), *pinned]
    subprocess.run(command, check=True)


def unpacked(wheels: Path, work: Path) -> Path:
    """Unpack the wheels of a folder, once, and return a folder for PYTHONPATH; FileNotFoundError without any wheel."""
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise FileNotFoundError(f"{wheels} holds no wheel; python -m benchmarks.gpu --carry {wheels} collects them")
    folder = work / "packages"
    if not folder.exists():
        aside = work / "packages.part"
        shutil.rmtree(aside, ignore_errors=True)
        for wheel in found:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(aside)
        aside.rename(folder)
    return folder
