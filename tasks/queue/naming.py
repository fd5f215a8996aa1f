"""What studies are called, and which are in the Trash: the changes of both in Redis, published in the same step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis

from data.database.events import TAGS
from tasks.queue.scripts import PREFIX, run


@dataclass(frozen=True)
class Description:
    """What a study is called since its launch; name, note: None where they are still those of the launch."""

    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the description as Redis saves it; a study that was never described has none, \"\"."""
        values = {"name": self.name, "note": self.note, "tags": list(self.tags)}
        changed = {name: value for name, value in values.items() if value is not None and value != []}
        return json.dumps(changed) if changed else ""


def describe(
    redis: Redis,
    study_id: str,
    name: str | None = None,
    note: str | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> bool | None:
    """Change what a study is called, and return whether its tags fit; None for an unknown study.

    name, note: None to leave them as they are. add, remove: tags.
    """
    change = {"name": name, "note": note, "add": list(add), "remove": list(remove)}
    text = json.dumps({key: value for key, value in change.items() if value is not None})
    answer = run(redis, "describe", study_id, text, TAGS)
    return None if answer is None else bool(answer)


def description(redis: Redis, study_id: str) -> Description:
    """Return what a study is called."""
    values = json.loads(str(redis.hget(f"{PREFIX}study:{study_id}", "described") or "{}"))
    return Description(values.get("name"), values.get("note"), tuple(values.get("tags", ())))


def trash(redis: Redis, study_id: str, at: str) -> int | None:
    """Move a study to the Trash and cancel its stages that no other study needs.

    Returns the number of these stages, -1 if it was there already, None for an unknown study.
    """
    event = json.dumps({"study_id": study_id, "at": at})
    answer = run(redis, "trash", study_id, event, at, event)
    return None if answer is None else int(answer)


def restore(redis: Redis, study_id: str) -> bool | None:
    """Bring a study back from the Trash, and return whether it was there; None for an unknown study."""
    answer = run(redis, "restore", study_id, json.dumps({"study_id": study_id}))
    return None if answer is None else bool(answer)


def trashed_at(redis: Redis, study_id: str) -> str | None:
    """Return when a study was moved to the Trash, None if it is not there."""
    at = redis.hget(f"{PREFIX}study:{study_id}", "trashed")
    return None if at is None else str(at)


def recall(redis: Redis, study_id: str, known: Description, trashed: str | None, is_known: bool) -> None:
    """Give a study that Redis lost its description and place in the Trash, or publish what Redis has of one again.

    known, trashed: what the database has. is_known: whether Redis has not lost the study.
    """
    run(redis, "recall", study_id, known.to_json(), trashed or "", "1" if is_known else "")
