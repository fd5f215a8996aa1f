"""Studies that come from elsewhere: they enter the queue with what is done of them, and nothing is trained."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from tasks.queue.leases import Message
from tasks.queue.scripts import run


@dataclass(frozen=True)
class ImportedStage:
    """A stage for `bring`; finished: its result is saved; error: why it can never be trained here, or \"\"."""

    fingerprint: str
    spec: str
    parent: str
    finished: bool
    error: str


def bring(
    redis: Redis, study_id: str, launched: Mapping[str, Any], at: str, stages: Sequence[ImportedStage]
) -> list[Message]:
    """Add a study with its finished stages to the queue, and return the messages to send.

    launched: the body of the event for the recorder. at: the time. stages: parents first. A study that is not complete
    is cancelled, so that only a retry trains the rest; of one that the queue knows, finished stages become done. The
    messages are of other studies, whose stages waited for one of these.
    """
    complete = all(stage.finished for stage in stages)
    cancelled = "" if complete else json.dumps({"study_id": study_id, "at": at})
    entries = json.dumps([asdict(stage) for stage in stages])
    answer = run(redis, "bring", study_id, json.dumps(launched), cancelled, entries)
    return [Message(str(fingerprint), int(attempt)) for fingerprint, attempt in answer]
