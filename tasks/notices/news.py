"""What there is to tell about studies: that one is done, has ended with failed stages, or is stuck."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pandas as pd
from redis import Redis

from tasks.queue import leases
from tasks.queue.telemetry import Worker
from tasks.units import duration, plural

# A study is stuck once for so many minutes none of its stages was in training although one should have been.
STUCK_MINUTES = 15

NAME_CHARACTERS = 100

Kind = Literal["done", "failed", "stuck"]


@dataclass(frozen=True)
class Notice:
    """A message about a study; it has no path, host or secret."""

    kind: Kind
    study_id: str
    title: str
    body: str


def ended(row: Mapping[str, Any], url: str | None) -> Notice:
    """Return the notice of a study that is done or failed.

    row: of `data.queries.studies.studies`. url: of the dashboard.
    """
    done, failed, blocked = row["done"], row["failed"], row["waiting"]
    took = duration(_seconds(row["created_at"], row["finished_at"]))
    if row["state"] == "done":
        reused = f", {row['reused']:,} of them reused" if row["reused"] else ""
        text = f"{plural(row['stages'], 'training')}{reused}, in {took}."
        return _notice("done", row, "is done", text, url)
    parts = [f"{done:,} of {plural(row['stages'], 'training')} done", f"{failed:,} failed"]
    parts += [f"{blocked:,} blocked by these"] if blocked else []
    text = f"{', '.join(parts)}, after {took}."
    return _notice("failed", row, "has ended with failed stages", text, url)


def stuck(row: Mapping[str, Any], why: str, url: str | None, minutes: float = STUCK_MINUTES) -> Notice:
    """Return the notice of a study that is stuck; row, url: as in `ended`. why: from `standstill`."""
    left = row["stages"] - row["done"] - row["failed"]
    counts = f"{row['done']:,} of {plural(row['stages'], 'training')} are done, {left:,} left."
    text = f"No stage of it was in training for {plural(round(minutes), 'minute')}: {why}. {counts}"
    return _notice("stuck", row, "is stuck", text, url)


def standstill(redis: Redis, study_id: str, workers: Sequence[Worker]) -> str | None:
    """Return why no stage of an unfinished study is in training, None if one is or if it waits for its turn.

    workers: live and silent ones.
    """
    states = leases.states(redis, leases.members(redis, study_id))
    if not states:
        return "the queue does not know it, and ticketscope rebuild brings it back"
    running = {fingerprint for fingerprint, state in states.items() if state == "running"}
    alive = [worker for worker in workers if not worker.is_silent()]
    own = [worker for worker in alive if running.intersection(_stages(worker))]
    if own:
        waiting = all(worker.trouble for worker in own)
        return "its workers wait for the artifact store" if waiting else None
    if running:
        return "its workers are silent"
    if "queued" not in states.values():
        return None
    if not alive:
        return "no worker is running"
    # Workers that train other studies reach this one later.
    return None if any(worker.stage for worker in alive) else "idle workers take none of its stages"


def _stages(worker: Worker) -> Iterable[str]:
    return (worker.stage, *worker.beside) if worker.stage else ()


def _seconds(since: datetime, until: datetime) -> float | None:
    # A missing time is NaT. Clocks that were set may make the end earlier.
    return None if pd.isna(until) else max(0.0, (until - since).total_seconds())


def _notice(kind: Kind, row: Mapping[str, Any], what: str, text: str, url: str | None) -> Notice:
    study_id = str(row["study_id"])
    # Services show a message in one line, and some read marks in it.
    name = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in str(row["name"]))).strip()
    short = name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"
    address = f"{url}/study?study={study_id}" if url else f"ticketscope status {study_id}"
    return Notice(kind, study_id, f"{short} {what}", f"{text}\n{address}")
