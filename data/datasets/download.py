"""Downloading the archive of a dataset, and what is wrong with one that lies in its place."""

import hashlib
import http.client
import logging
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from data.datasets.source import DatasetError, Progress
from data.os_errors import explained

# A download fails if the server does not answer for this time.
TIMEOUT_SECONDS = 30.0
BLOCK = 2**20
# How the files of each form begin, and what one that does not is not.
FORMS = {"gzip": (b"\x1f\x8b", "gzip archive"), "zip": (b"PK", "zip archive"), "matlab": (b"MATLAB 5.0", "MATLAB file")}

log = logging.getLogger(__name__)


class _Unreachable(Exception):
    """A server does not answer, or ends its answer with an error."""


@dataclass(frozen=True)
class Archive:
    """A file to download by its address and checksum; size: its bytes. form: a key of FORMS."""

    url: str
    md5: str
    size: int
    form: str = "gzip"


def fetch(archive: Archive, path: Path, progress: Progress) -> None:
    """Download a file to a path, unless it lies there intact.

    What lies there is replaced by a whole download alone. Raises DatasetError, which says how a file in its place is
    damaged, if it cannot be downloaded either.
    """
    if path.is_dir():
        raise DatasetError(f"{path} is a folder, where an archive belongs; remove it, and leave the archive packed")
    old = damage(path, archive.md5, archive.size, archive.form) if path.exists() else None
    if path.exists() and old is None:
        return
    if old is not None:
        log.warning("%s %s; it is downloaded anew", path, old)
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            for block in _blocks(archive.url):
                file.write(block)
                progress(f"downloading {path.name}", file.tell(), max(file.tell(), archive.size))
        new = damage(aside, archive.md5, archive.size, archive.form)
        if new is not None:
            raise _Unreachable(f"what it sends {new}")
        aside.replace(path)
    except _Unreachable as error:
        raise DatasetError(_advice(archive, path, old, str(error))) from error
    except OSError as error:
        raise DatasetError(f"cannot download {archive.url}: {explained(error, path)}") from error
    finally:
        aside.unlink(missing_ok=True)


def damage(path: Path, md5: str, size: int | None = None, form: str | None = None) -> str | None:
    """Return what is wrong with a file, as in "has 5 bytes in place of 7"; None for an intact file.

    form: a key of FORMS, for a file that has one.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(0)
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            length = os.fstat(file.fileno()).st_size
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if found == md5:
        return None
    if not length:
        return "is empty"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, perhaps of a proxy or a login"
    if form is not None and not start.startswith(FORMS[form][0]):
        is_tar = form == "gzip" and start[257:262] == b"ustar"
        return "is a tar archive without gzip, so it was unpacked already" if is_tar else f"is no {FORMS[form][1]}"
    if size is not None and length != size:
        return f"has {length:,} bytes in place of {size:,}"
    return f"has the MD5 {found} in place of {md5}"


def _blocks(url: str) -> Iterator[bytes]:
    """Yield the bytes at an address; raises _Unreachable."""
    request = urllib.request.Request(url, headers={"User-Agent": "ticketscope"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            while block := answer.read(BLOCK):
                yield block
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise _Unreachable(str(reason) or type(error).__name__) from error


def _advice(archive: Archive, path: Path, old: str | None, why: str) -> str:
    if old is None:
        return (
            f"cannot download {archive.url}: {why}; get {path.name} (md5 {archive.md5}) on a machine with network "
            f"access and put it at {path}"
        )
    return (
        f"{path} is damaged: it {old}; an intact one cannot be downloaded from {archive.url}: {why}. Put an intact "
        f"{path.name} (md5 {archive.md5}) in its place, or give this machine network access and try again"
    )
