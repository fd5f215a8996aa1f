"""Local files that are there whole or not at all."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a local file so that a reader, or a crash at any moment, finds the old content or the new, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for every writer: two may write the same file at once.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    # The rename itself lasts only once the folder is on disk.
    flush(path.parent)


def flush(path: Path) -> None:
    """Have what was written to a file, or to the list of files in a folder, on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
