"""The latest state of stages and studies: the order of events decides which it is, not a clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import duckdb

from data.database.events import StageChanged, StudyCancelled, StudyDescribed, StudyLaunched, StudyTrashed

ENDS = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class StageState:
    """A row of the table `states`; times are UTC without a zone, and revision orders events."""

    fingerprint: str
    state: str
    attempt: int
    worker: str | None
    host: str | None
    device: str | None
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    revision: str


def state_of(event: StageChanged) -> StageState:
    """Return the state after a single event."""
    return StageState(
        fingerprint=event.fingerprint,
        state=event.state,
        attempt=event.attempt,
        worker=event.worker,
        host=event.host,
        device=event.device,
        error=event.error,
        started_at=event.at if event.state == "running" else None,
        finished_at=event.at if event.state in ENDS else None,
        updated_at=event.at,
        revision=event.revision,
    )


def merge(one: StageState, other: StageState) -> StageState:
    """Return the state after two events in any order; the later one in the stream decides."""
    older, newer = sorted((one, other), key=lambda state: state.revision)
    if older.state == newer.state == "done":
        # A launch that found the stage done reports it again, and must not change when and where it was trained.
        return replace(older, revision=newer.revision)
    if newer.state in ENDS and older.attempt == newer.attempt:
        # The event of an attempt's end may lack the worker, host, device and start.
        return replace(
            newer,
            worker=newer.worker or older.worker,
            host=newer.host or older.host,
            device=newer.device or older.device,
            started_at=newer.started_at or older.started_at,
        )
    return newer


def write(
    connection: duckdb.DuckDBPyConnection, launches: Sequence[StudyLaunched], cancelled: Sequence[StudyCancelled]
) -> None:
    """Write the latest launch and the latest cancellation of each study, in whatever order the events come."""
    for launch in launches:
        connection.execute(
            "INSERT INTO launches VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET revision = excluded.revision WHERE revision < excluded.revision",
            [launch.study_id, launch.revision],
        )
    for event in cancelled:
        connection.execute(
            "INSERT INTO cancellations VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET cancelled_at = excluded.cancelled_at, revision = excluded.revision "
            "WHERE coalesce(revision, '') < excluded.revision",
            [event.study_id, event.at, event.revision],
        )


def describe(connection: duckdb.DuckDBPyConnection, events: Sequence[StudyDescribed]) -> None:
    """Write the latest description of each study."""
    for event in events:
        connection.execute(
            "INSERT INTO descriptions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name, "
            "note = excluded.note, tags = excluded.tags, revision = excluded.revision "
            "WHERE revision < excluded.revision",
            [event.study_id, event.name, event.note, list(event.tags), event.revision],
        )


def trash(connection: duckdb.DuckDBPyConnection, events: Sequence[StudyTrashed]) -> None:
    """Write for each study whether it is in the Trash, and since when."""
    for event in events:
        connection.execute(
            "INSERT INTO trash VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
            "SET trashed_at = excluded.trashed_at, revision = excluded.revision WHERE revision < excluded.revision",
            [event.study_id, event.at, event.revision],
        )
