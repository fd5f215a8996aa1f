"""The events that the recorder reads from the stream, checked before they reach the database."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from data.artifacts import result_schema
from data.database.older_names import renamed
from engine.errors import UserError
from engine.study.plan import Role, Stage
from engine.study.results import Epoch, StageResult
from engine.study.spec import read_study

State = Literal["waiting", "queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Event:
    """An entry of the stream: Redis' id (milliseconds-sequence), the kind, and a body of plain JSON values."""

    id: str
    kind: str
    body: Mapping[str, Any]


class EventError(ValueError):
    """An event can never be recorded; `event` is that event, so that it can be set aside."""

    def __init__(self, event: Event, message: str) -> None:
        self.event = event
        super().__init__(f"event {event.id} of kind {event.kind!r}: {message}")


def _utc(at: datetime) -> datetime:
    # DuckDB's TIMESTAMP carries no zone; everything in the file is UTC.
    try:
        return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError(f"the time {at} is out of range") from None


def _split(stage: Any) -> Any:
    """Turn {"fingerprint": ..., **stage} into (fingerprint, stage)."""
    if not isinstance(stage, Mapping) or "fingerprint" not in stage:
        raise ValueError("a stage lacks its fingerprint")
    return stage["fingerprint"], {key: value for key, value in stage.items() if key != "fingerprint"}


def _epoch(row: Any) -> Any:
    result_schema.epoch_row(row)
    return Epoch(*row)


def _cut(text: str) -> str:
    # DuckDB cannot store half of a surrogate pair.
    return text.encode(errors="replace").decode()[:ERROR_CHARACTERS]


ERROR_CHARACTERS, NOTE_CHARACTERS = 50_000, 2_000
# The most tags of a study.
TAGS = 20

EventTime = Annotated[datetime, AfterValidator(_utc)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
StudyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
Text = Annotated[str, Field(max_length=1_000)]
# Without strict, pydantic would accept "0.2" and True as numbers.
Fraction = Annotated[float, Field(strict=True, gt=0, le=1)]
Expected = Annotated[float, Field(strict=True, ge=0, le=result_schema.WEIGHTS)]


class EventBody(BaseModel):
    """The base of all bodies; revision, made from the event's id, orders the events of a stage."""

    model_config = ConfigDict(frozen=True)

    revision: str


class StudyLaunched(EventBody):
    """A study was launched; reused: the fingerprints of its stages that were done before."""

    study_id: StudyId
    name: Text
    toml: str
    at: EventTime
    stages: tuple[Annotated[tuple[Fingerprint, Stage], BeforeValidator(_split)], ...]
    roles: tuple[Role, ...]
    reused: frozenset[str]

    @property
    def compared(self) -> dict[str, Any]:
        """The lists of the study, by field, and its note."""
        # The study was accepted at its launch, perhaps with other limits.
        study = read_study(self.toml, recorded=True)
        lists = ("datasets", "networks", "learning_rates", "pruners", "starts", "seeds")
        return {"note": study.note} | {name: list(getattr(study, name)) for name in lists}


class StageChanged(EventBody):
    """The state of a stage changed."""

    fingerprint: Fingerprint
    state: State
    attempt: Annotated[int, Field(ge=0, lt=2**31)]
    at: EventTime
    worker: Text | None = None
    host: Text | None = None
    device: Text | None = None
    error: Annotated[str, AfterValidator(_cut)] | None = None


class EpochsAdded(EventBody):
    """A running stage committed epochs."""

    fingerprint: Fingerprint
    rows: tuple[Annotated[Epoch, BeforeValidator(_epoch)], ...]


@dataclass(frozen=True)
class StageFinished:
    """A stage finished; overlaps stay in the columns of the JSON form, in which they are written."""

    result: StageResult
    overlaps: tuple[Mapping[str, Any], ...]


class StudyCancelled(EventBody):
    """A study was cancelled."""

    study_id: StudyId
    at: EventTime


class StudyDescribed(EventBody):
    """The owner changed what a study is called; name, note: None where they are those of its launch."""

    study_id: StudyId
    name: Text | None = None
    note: Annotated[str, Field(max_length=NOTE_CHARACTERS), AfterValidator(_cut)] | None = None
    tags: Annotated[tuple[Text, ...], Field(max_length=TAGS)] = ()


class StudyTrashed(EventBody):
    """A study was moved to the Trash; at: None if it was brought back."""

    study_id: StudyId
    at: EventTime | None = None


class StudyDeleted(EventBody):
    """A study was deleted; stages: the fingerprints of its stages."""

    study_id: StudyId
    at: EventTime
    stages: tuple[Fingerprint, ...] = ()


class MaskLevel(BaseModel):
    """The level of the mask alone in one pair's overlap: the expected intersections by layer and p, in columns."""

    model_config = ConfigDict(frozen=True)

    pair: Literal["finetuned_initial", "finetuned_pretrained"]
    layers: tuple[Text, ...]
    ps: tuple[Fraction, ...]
    expected: tuple[Expected, ...]

    @model_validator(mode="after")
    def _columns_fit(self) -> "MaskLevel":
        if not len(self.layers) == len(self.ps) == len(self.expected):
            raise ValueError("layers, ps and expected differ in length")
        if len(set(zip(self.layers, self.ps, strict=True))) < len(self.layers):
            raise ValueError("a layer has two rows at the same p")
        return self


class ResultCompleted(EventBody):
    """An older result was completed by fields computed from its weights; they never replace recorded values."""

    fingerprint: Fingerprint
    mask: Fingerprint
    levels: tuple[MaskLevel, ...] = ()

    @model_validator(mode="after")
    def _pairs_differ(self) -> "ResultCompleted":
        if len({level.pair for level in self.levels}) < len(self.levels):
            raise ValueError("levels hold a pair twice")
        return self


Parsed = (
    StudyLaunched
    | StageChanged
    | EpochsAdded
    | StageFinished
    | ResultCompleted
    | StudyCancelled
    | StudyDescribed
    | StudyTrashed
    | StudyDeleted
)
BODIES: dict[str, type[EventBody]] = {
    "launched": StudyLaunched,
    "stage": StageChanged,
    "epochs": EpochsAdded,
    "completed": ResultCompleted,
    "cancelled": StudyCancelled,
    "described": StudyDescribed,
    "trashed": StudyTrashed,
    "deleted": StudyDeleted,
}
KINDS = (*BODIES, "result")


def parse(event: Event) -> Parsed:
    """Return the parsed event; EventError for an unknown kind or a faulty id or body."""
    if not re.fullmatch(r"[0-9]+-[0-9]+", event.id):
        raise EventError(event, "its id is not one of a Redis stream, such as 1700000000000-0")
    milliseconds, sequence = (int(part) for part in event.id.split("-"))
    # Padding makes the order of ids as text that of the stream.
    revision = f"{milliseconds:020d}-{sequence:020d}"
    if event.kind not in KINDS:
        raise EventError(event, f"the kind is unknown; known: {', '.join(KINDS)}")
    try:
        if event.kind == "result":
            return _finished(event.body)
        body = BODIES[event.kind].model_validate({**event.body, "revision": revision})
        if isinstance(body, StudyLaunched):
            roles, toml = renamed(body.stages, body.roles, body.toml)
            body = body.model_copy(update={"roles": roles, "toml": toml})
            _ = body.compared
    except ValidationError as error:
        raise EventError(event, result_schema.explained(error)) from error
    except (UserError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise EventError(event, f"its body cannot be read: {str(error)[:500]}") from error
    assert isinstance(body, Parsed)
    return body


def _finished(body: Mapping[str, Any]) -> StageFinished:
    values = body["result"]
    result_schema.check(values)
    overlaps = tuple(values["overlaps"])
    # A result has thousands of counts, which stay in columns instead of becoming one object each.
    result = StageResult.from_json({**values, "overlaps": []})
    if result.fingerprint != body["fingerprint"]:
        raise ValueError(f"the result is of stage {result.fingerprint}")
    if result.diverged is None and not result.epochs:
        raise ValueError("the result has no epochs")
    if result.diverged is not None and len(result.epochs) != max(0, result.diverged - 1):
        raise ValueError(f"the result has {len(result.epochs)} epochs, but diverged in epoch {result.diverged}")
    return StageFinished(result, overlaps)
