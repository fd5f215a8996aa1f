"""Drafts of the New study form below the home, so that a reload of the page and a restart keep what was typed."""

import json
import re
import secrets
from contextlib import suppress
from pathlib import Path

from app.new_study.draft import Draft
from data.atomic import write_whole
from data.private import private_file, private_folder

# The most drafts that stay, the latest ones, and the most characters of one.
MOST, LONGEST = 200, 200_000
_ID = re.compile(r"[\w-]{22}", re.ASCII)


def new_id() -> str:
    """Return an id that nobody guesses; whoever has it and owns the dashboard can read the draft."""
    return secrets.token_urlsafe(16)


def save(home: Path, draft_id: str, draft: Draft) -> None:
    """Save a draft under an id, unless it is enormous or the disk does not take it; the form itself is not harmed."""
    text = json.dumps(draft)
    if len(text) > LONGEST:
        return
    with suppress(OSError):
        folder = private_folder(home / "drafts")
        path = folder / f"{draft_id}.json"
        is_new = not path.exists()
        write_whole(path, text.encode())
        private_file(path)
        if is_new:
            latest_last = sorted(folder.glob("*.json"), key=lambda other: other.stat().st_mtime_ns)
            for old in latest_last[:-MOST]:
                old.unlink(missing_ok=True)


def load(home: Path, draft_id: str) -> Draft | None:
    """Return the draft of an id; None for an unknown one, as of a draft that was removed because others are later."""
    if not _ID.fullmatch(draft_id):
        return None
    try:
        content = json.loads((home / "drafts" / f"{draft_id}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
