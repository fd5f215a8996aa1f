"""Links that ended before their time, in a file beside the database that a restored backup does not replace."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from data.atomic import write_whole
from data.private import private_file

NAME = "ended-links"


# The hash of a token, the time, and the study that the link no longer shows; all of it ended if none is named.
_LINE = re.compile(r"([0-9a-f]{64}) (\d{4}-\d\d-\d\dT[\d:.]+\+00:00)(?: (\S+))?")


@dataclass
class Ended:
    """What ended of one link: all of it, or only some studies that it showed; at: the latest time, in UTC."""

    at: datetime
    entirely: bool = False
    study_ids: set[str] = field(default_factory=set)


def read(database: Path) -> Mapping[str, Ended]:
    """Return what ended, by the hash of the link's token; database: the file beside which it is recorded."""
    ended: dict[str, Ended] = {}
    path = _path(database)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if (parts := _LINE.fullmatch(line)) is None:
            continue
        token_hash, at, study_id = parts.groups()
        link = ended.setdefault(token_hash, Ended(datetime.fromisoformat(at)))
        link.at = max(link.at, datetime.fromisoformat(at)) if not link.entirely else link.at
        if study_id is None:
            link.entirely = True
        else:
            link.study_ids.add(study_id)
    return ended


def add(database: Path, token_hashes: Iterable[str], study_id: str | None = None) -> None:
    """Record that links ended now, or that they no longer show a study; the caller lets nobody else write meanwhile."""
    path, now = _path(database), datetime.now(UTC).isoformat()
    lines = [" ".join(filter(None, [token_hash, now, study_id])) for token_hash in token_hashes]
    if not lines:
        return
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_whole(path, (before + "".join(f"{line}\n" for line in lines)).encode())
    private_file(path)


def _path(database: Path) -> Path:
    return database.with_name(NAME)
