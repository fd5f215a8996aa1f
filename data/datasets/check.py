"""Checking that all images of a folder can be trained on, before a study is launched."""

import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import PIL
from filelock import FileLock

from data.atomic import write_whole
from data.datasets import folder, images
from data.datasets.images import Faults
from data.datasets.registry import FOLDER, cache_folder, cached_file, identity, listing
from data.datasets.source import DatasetError, Progress, silent
from data.settings_file import CHECKOUT

# What was found holds for one version of the rules of `data.datasets.images` and for one of Pillow.
RULES = f"1, Pillow {PIL.__version__}"
# Characters of the output of a check that ended without an answer.
OUTPUT = 500

log = logging.getLogger(__name__)


def check(name: str, home: Path, progress: Progress | None = None) -> None:
    """Read every image of folder:<path>, once for the same content; other datasets are not checked.

    name, home: as for `data.datasets.registry.identity`. The images are read in another process, which a decoder may
    end without ending this one. Raises DatasetError with all images that cannot be trained on, and as `identity` does.
    """
    if not name.startswith(FOLDER):
        return
    files = listing(name)
    content = folder.identity(files, cache_folder(home))
    # A cached dataset was read from these images.
    if cached_file(name, content, home).exists():
        return
    file = _file(content, home)
    # Whoever else launches the same images waits for this check.
    with FileLock(file.with_suffix(".lock")):
        found = _remembered(file)
        if found is None:
            found = _checked(files, progress or silent)
            if found.lasting:
                write_whole(file, json.dumps({"rules": RULES, **asdict(found)}).encode())
    found.refuse(files.root)


def refuse_known(name: str, content: str, home: Path) -> None:
    """Raise DatasetError for a folder with images that cannot be trained on, as an earlier `check` found.

    content: the dataset's identity.
    """
    if name.startswith(FOLDER) and (found := _remembered(_file(content, home))):
        found.refuse(Path(name.removeprefix(FOLDER).strip()))


def checked_identity(name: str, home: Path) -> str:
    """Return the identity of a dataset; raises as `identity` and `refuse_known` do."""
    content = identity(name, home)
    refuse_known(name, content, home)
    return content


def is_checked(name: str, content: str, home: Path) -> bool:
    """Return whether the images of a dataset were read before, or need no `check`."""
    read = not name.startswith(FOLDER) or cached_file(name, content, home).exists()
    return read or _remembered(_file(content, home)) is not None


def _file(content: str, home: Path) -> Path:
    return cache_folder(home) / f"checked-{content}.json"


def _remembered(file: Path) -> Faults | None:
    """Return what an earlier check found; None without one, or if it was by other rules."""
    try:
        values = json.loads(file.read_bytes())
        if values.pop("rules") != RULES:
            return None
        return _parsed(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%r), so the images are checked again", file, error)
        return None


def _checked(files: folder.Listing, progress: Progress) -> Faults:
    """Return what another process finds; raises DatasetError if it ends without an answer or the folder changes."""
    command = [sys.executable, "-m", images.__name__, str(files.root)]
    what, last = f"checking the images in {files.root}", ""
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for last in process.stdout or ():
                if last.startswith(images.DONE):
                    progress(what, int(last.removeprefix(images.DONE)), len(files.names))
        except BaseException:
            process.kill()
            raise
    try:
        values = json.loads(last)
    except ValueError as error:
        raise DatasetError(
            f"the check of the images in {files.root} ended with code {process.returncode} and without an answer "
            f"({last.strip()[:OUTPUT]}); one of them may have ended it: try again, then remove those added last"
        ) from error
    if values["listing"] != files.digest:
        raise DatasetError(f"{files.root} was changed while it was read; try again when nobody changes it")
    return _parsed(values["found"])


def _parsed(values: dict[str, Any]) -> Faults:
    return Faults(**{**values, "first": tuple(map(str, values["first"]))})
