"""What an error of the operating system means for a user, and what to do about it."""

import errno
import os
import shutil
from pathlib import Path

_ADVICE = {
    errno.ENOSPC: "the disk of {path} is full; free some space there",
    errno.EDQUOT: "the quota of this account on the disk of {path} is used up; free some space there",
    errno.EROFS: "the file system of {path} is read-only; give a folder on another one, or mount it for writing",
    errno.EACCES: "{path} may not be used by this account; run as the account that owns it, or give another folder",
    errno.EPERM: "{path} may not be changed by this account; run as the account that owns it, or give another folder",
    errno.ENOTDIR: "{path} cannot be made, because a part of it is a file; give another folder",
    errno.EEXIST: "{path} is in the way; remove it, or give another folder",
    errno.EISDIR: "{path} is a folder; give a file",
    errno.ENOENT: "{path} does not exist, and cannot be made; give another folder",
    errno.EMFILE: "this process has too many files open; allow more (ulimit -n), then start it again",
    errno.ENFILE: "this machine has too many files open; close other programs",
}


# Bytes below which a disk counts as full: the queue's server would start and end at its first write.
LEAST_SPACE = 1_000_000


def full_disk(folder: Path) -> str | None:
    """Return the sentence for a folder whose disk is full, None while it has space."""
    if shutil.disk_usage(folder).free >= LEAST_SPACE:
        return None
    return _ADVICE[errno.ENOSPC].format(path=folder)


def explained_text(text: str, path: Path | str) -> str | None:
    """Return the sentence for an error that another program put in words; None for one that has no sentence here."""
    known = (code for code in _ADVICE if os.strerror(code) in text)
    return next((_ADVICE[code].format(path=path) for code in known), None)


def explained(error: OSError, path: Path | str | None = None) -> str:
    """Return a sentence that says what failed and what to do; path: what was used, if the error does not name it."""
    place = error.filename2 or error.filename or path or "a file"
    template = _ADVICE.get(error.errno or 0, "{path} cannot be used: {reason}")
    reason = error.strerror or str(error)
    return template.format(path=os.fsdecode(place) if isinstance(place, str | bytes | Path) else place, reason=reason)
