"""Writing local files so that they appear whole or not at all."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a local file so that readers, also after a crash, find either the whole old or the whole new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Every writer uses its own name, because two may write the same file at once.
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
    # The rename survives a crash only once the folder is on disk.
    flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
