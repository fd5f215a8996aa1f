"""How a stage stands: events about it folded together, in whatever order and however often they come."""

from dataclasses import dataclass, replace
from datetime import datetime

from data.database.events import Changed

ENDS = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class StageState:
    """One row of the table `states`; times are UTC without a zone, revision orders events."""

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


def told(event: Changed) -> StageState:
    """Return the state that one event alone tells of."""
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
    """Return what two tell together: the later in the stream decides, and the order of the arguments does not."""
    older, newer = sorted((one, other), key=lambda state: state.revision)
    if older.state == newer.state == "done":
        # A launch that found the stage done says so again; when and where it was trained stays.
        return replace(older, revision=newer.revision)
    if newer.state in ENDS and older.attempt == newer.attempt:
        # The end of an attempt need not repeat who ran it, and since when.
        return replace(
            newer,
            worker=newer.worker or older.worker,
            host=newer.host or older.host,
            device=newer.device or older.device,
            started_at=newer.started_at or older.started_at,
        )
    return newer
