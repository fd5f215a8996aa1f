"""The kinds of events that the recorder reads from the stream, each checked before it reaches the database."""

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
    try:
        return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError(f"{at} is no time that can be recorded") from None


def _split(stage: Any) -> Any:
    """Turn {"fingerprint": ..., **stage} into (fingerprint, stage)."""
    if not isinstance(stage, Mapping) or "fingerprint" not in stage:
        raise ValueError("a stage lacks its fingerprint")
    return stage["fingerprint"], {key: value for key, value in stage.items() if key != "fingerprint"}


def _epoch(row: Any) -> Any:
    result_schema.epoch_row(row)
    return Epoch(*row)


def _cut(text: str) -> str:
    # Half of a character pair has no place in the file.
    return text.encode(errors="replace").decode()[:ERROR_CHARACTERS]


ERROR_CHARACTERS = 50_000

Time = Annotated[datetime, AfterValidator(_utc)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
StudyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
Text = Annotated[str, Field(max_length=1_000)]
# Strict, since pydantic would take "0.2" and True for numbers.
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Expected = Annotated[float, Field(strict=True, ge=0, le=result_schema.WEIGHTS)]


class Body(BaseModel):
    """The field of all bodies: revision, made from the event's id, orders the events of a stage."""

    model_config = ConfigDict(frozen=True)

    revision: str


class Launched(Body):
    """A study began; reused: fingerprints of its stages that were done before."""

    study_id: StudyId
    name: Text
    toml: str
    at: Time
    stages: tuple[Annotated[tuple[Fingerprint, Stage], BeforeValidator(_split)], ...]
    roles: tuple[Role, ...]
    reused: frozenset[str]

    @property
    def compared(self) -> dict[str, Any]:
        """The fields of the study that say what it compares, and its note."""
        # It was accepted when it was launched, perhaps by an older Ticketscope.
        study = read_study(self.toml, recorded=True)
        lists = ("datasets", "networks", "learning_rates", "pruners", "starts", "seeds")
        return {"note": study.note} | {name: list(getattr(study, name)) for name in lists}


class Changed(Body):
    """A stage came into another state."""

    fingerprint: Fingerprint
    state: State
    attempt: Annotated[int, Field(ge=0, lt=2**31)]
    at: Time
    worker: Text | None = None
    host: Text | None = None
    device: Text | None = None
    error: Annotated[str, AfterValidator(_cut)] | None = None


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

    study_id: StudyId
    at: Time


class Deleted(Body):
    """A study was deleted; stages: the fingerprints that it had."""

    study_id: StudyId
    at: Time
    stages: tuple[Fingerprint, ...] = ()


class Level(BaseModel):
    """What the mask alone gives of one pair's overlap: the expected intersection for each layer and p, by column."""

    model_config = ConfigDict(frozen=True)

    pair: Literal["finetuned_initial", "finetuned_pretrained"]
    layers: tuple[Text, ...]
    ps: tuple[Share, ...]
    expected: tuple[Expected, ...]

    @model_validator(mode="after")
    def _columns_fit(self) -> "Level":
        if not len(self.layers) == len(self.ps) == len(self.expected):
            raise ValueError("layers, ps and expected differ in length")
        if len(set(zip(self.layers, self.ps, strict=True))) < len(self.layers):
            raise ValueError("a layer has two rows at the same p")
        return self


class Completed(Body):
    """Fields that an older result lacks, computed from its weights; they never replace what is recorded."""

    fingerprint: Fingerprint
    mask: Fingerprint
    levels: tuple[Level, ...] = ()

    @model_validator(mode="after")
    def _pairs_differ(self) -> "Completed":
        if len({level.pair for level in self.levels}) < len(self.levels):
            raise ValueError("levels hold a pair twice")
        return self


Parsed = Launched | Changed | Measured | Finished | Completed | Cancelled | Deleted
BODIES: dict[str, type[Body]] = {
    "launched": Launched,
    "stage": Changed,
    "epochs": Measured,
    "completed": Completed,
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
            roles, toml = renamed(body.stages, body.roles, body.toml)
            body = body.model_copy(update={"roles": roles, "toml": toml})
            _ = body.compared
    except ValidationError as error:
        raise EventError(event, result_schema.explained(error)) from error
    except (UserError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise EventError(event, f"its body does not read: {str(error)[:500]}") from error
    assert isinstance(body, Launched | Changed | Measured | Completed | Cancelled | Deleted)
    return body


def _finished(body: Mapping[str, Any]) -> Finished:
    values = body["result"]
    result_schema.check(values)
    overlaps = tuple(values["overlaps"])
    # A result has thousands of counts: they stay in columns instead of one object each.
    result = StageResult.from_json({**values, "overlaps": []})
    if result.fingerprint != body["fingerprint"]:
        raise ValueError(f"the result is that of stage {result.fingerprint}")
    if result.diverged is None and not result.epochs:
        raise ValueError("the result has no epochs")
    if result.diverged is not None and len(result.epochs) != max(0, result.diverged - 1):
        raise ValueError(f"the result has {len(result.epochs)} epochs, but diverged in epoch {result.diverged}")
    return Finished(result, overlaps)
