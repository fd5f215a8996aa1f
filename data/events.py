"""Events of the stream that the recorder drains: what each kind carries, checked before it touches the database."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.plan import Role, Stage
from engine.results import Epoch, StageResult

State = Literal["waiting", "queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Event:
    """One entry of the stream: id as Redis gives it (milliseconds-sequence), kind, and a body of plain JSON values."""

    id: str
    kind: str
    body: Mapping[str, Any]


class EventError(ValueError):
    """An event that can never be recorded; `event` is the one, so that it can be set aside."""

    def __init__(self, event: Event, message: str) -> None:
        self.event = event
        super().__init__(f"event {event.id} of kind {event.kind!r}: {message}")


def _utc(at: datetime) -> datetime:
    # DuckDB's TIMESTAMP carries no zone; everything in the file is UTC.
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


def _split(stage: Any) -> Any:
    """Turn {"fingerprint": ..., **stage} into (fingerprint, stage)."""
    if not isinstance(stage, Mapping) or "fingerprint" not in stage:
        raise ValueError("a stage lacks its fingerprint")
    return stage["fingerprint"], {key: value for key, value in stage.items() if key != "fingerprint"}


def _epoch(row: Any) -> Any:
    if not isinstance(row, list | tuple):
        raise ValueError("an epoch is a list of numbers")
    try:
        return Epoch(*row)
    except TypeError:
        raise ValueError(f"an epoch is 7 numbers, given {len(row)}") from None


Time = Annotated[datetime, AfterValidator(_utc)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Body(BaseModel):
    """What all bodies have in common; revision, from the event's id, orders events of a stage."""

    model_config = ConfigDict(frozen=True)

    revision: str


class Launched(Body):
    """A study began; reused: fingerprints of its stages that were done before."""

    study_id: str
    name: str
    toml: str
    at: Time
    stages: tuple[Annotated[tuple[Fingerprint, Stage], BeforeValidator(_split)], ...]
    roles: tuple[Role, ...]
    reused: frozenset[str]

    @property
    def compared(self) -> dict[str, Any]:
        """The fields of the study that say what it compares, and its note."""
        study = tomllib.loads(self.toml)
        lists = ("datasets", "networks", "learning_rates", "pruners", "starts", "seeds")
        return {"note": study.get("note", "")} | {name: study.get(name, []) for name in lists}


class Changed(Body):
    """A stage came into another state."""

    fingerprint: Fingerprint
    state: State
    attempt: int
    at: Time
    worker: str | None = None
    host: str | None = None
    device: str | None = None
    error: str | None = None


class Measured(Body):
    """Epochs that a running stage has committed."""

    fingerprint: Fingerprint
    rows: tuple[Annotated[Epoch, BeforeValidator(_epoch)], ...]


@dataclass(frozen=True)
class Finished:
    """All that a stage measured; overlaps stay in the columns of their wire form, which are what the file wants."""

    result: StageResult
    overlaps: tuple[Mapping[str, Any], ...]


class Cancelled(Body):
    """A study was cancelled."""

    study_id: str
    at: Time


class Deleted(Body):
    """A study was deleted; stages: the fingerprints that it had."""

    study_id: str
    at: Time
    stages: tuple[Fingerprint, ...] = ()


Parsed = Launched | Changed | Measured | Finished | Cancelled | Deleted
BODIES: dict[str, type[Body]] = {
    "launched": Launched,
    "stage": Changed,
    "epochs": Measured,
    "cancelled": Cancelled,
    "deleted": Deleted,
}
KINDS = (*BODIES, "result")


def parse(event: Event) -> Parsed:
    """Return what an event says; EventError where its id, kind or body are not what the recorder knows."""
    if not re.fullmatch(r"[0-9]+-[0-9]+", event.id):
        raise EventError(event, "its id is not one of a Redis stream, such as 1700000000000-0")
    milliseconds, sequence = (int(part) for part in event.id.split("-"))
    # Padded, ids compare as text in the order of the stream.
    revision = f"{milliseconds:020d}-{sequence:020d}"
    if event.kind not in KINDS:
        raise EventError(event, f"the kind is unknown; known: {', '.join(KINDS)}")
    try:
        if event.kind == "result":
            return _finished(event.body)
        body = BODIES[event.kind].model_validate({**event.body, "revision": revision})
        if isinstance(body, Launched):
            _ = body.compared
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise EventError(event, f"{place}: {first['msg']}, given {first['input']!r}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise EventError(event, f"its body does not read: {error!r}") from error
    assert isinstance(body, Launched | Changed | Measured | Cancelled | Deleted)
    return body


def _finished(body: Mapping[str, Any]) -> Finished:
    values = body["result"]
    overlaps = tuple(values["overlaps"])
    # Thousands of counts per result: taken over by column, not one object each.
    result = StageResult.from_json({**values, "overlaps": []})
    if result.fingerprint != body["fingerprint"]:
        raise ValueError(f"the result is that of stage {result.fingerprint}")
    if not result.epochs:
        raise ValueError("the result has no epochs")
    for overlap in overlaps:
        if not isinstance(overlap["pair"], str) or len({len(column) for column in overlap["counts"]}) > 1:
            raise ValueError("an overlap is a pair and columns of equal length")
    return Finished(result, overlaps)
