"""Folders and files that no other account of the machine may read."""

from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def private_folder(path: Path) -> Path:
    """Make a folder if it is missing, close it to other accounts, and return it; OSError if it cannot be made."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return _closed(path, FOLDER_MODE)


def private_file(path: Path) -> Path:
    """Close a file to other accounts, and return it."""
    return _closed(path, FILE_MODE)


def write_private(path: Path, text: str) -> None:
    """Write a file that is whole and closed to other accounts from the start; OSError if it cannot be written."""
    aside = path.with_name(f".{path.name}.part")
    aside.touch(FILE_MODE)
    private_file(aside).write_text(text, encoding="utf-8")
    aside.replace(path)


def _closed(path: Path, mode: int) -> Path:
    if path.stat().st_mode & 0o077:
        path.chmod(mode)
    return path
