"""The form of a result as JSON, which every result must have before it is recorded or used."""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import le
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import core_schema

# Numbers of epochs must fit DuckDB's INTEGER, and numbers of weights must be exact as a float.
EPOCHS, WEIGHTS = 2**31 - 1, 2**53
LETTERS = 1_000
SHOWN = 80


def _printable(texts: list[str]) -> list[str]:
    # One call checks a whole column, because an overlap has a text for each of thousands of counts.
    if not "".join(texts).isprintable():
        faulty = next(text for text in texts if not text.isprintable())
        raise ValueError(f"{faulty[:SHOWN]!r} contains characters that cannot be printed")
    return texts


def _text(text: str) -> str:
    return _printable([text])[0]


def _moment(text: str) -> str:
    """Accept a time in ISO format with its zone, which must have a date in UTC too."""
    try:
        if (at := datetime.fromisoformat(text)).tzinfo is None:
            raise ValueError(f"the time {text[:SHOWN]!r} has no zone; allowed: such as 2026-11-30T12:00:00+00:00")
        at.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"the time {text[:SHOWN]!r} is out of range") from None
    return text


# A float must be finite, and an integer must be exact as a float. True and False are not numbers.
_NUMBER = core_schema.union_schema(
    [
        core_schema.chain_schema(
            [core_schema.is_instance_schema(float), core_schema.float_schema(strict=True, allow_inf_nan=False)]
        ),
        core_schema.int_schema(strict=True, ge=-WEIGHTS, le=WEIGHTS),
    ],
    mode="left_to_right",
    custom_error_type="number",
    custom_error_message=f"Input should be a finite number, an integer at most {WEIGHTS} in size",
)

_Letters = Annotated[str, Field(strict=True, max_length=LETTERS)]
Text = Annotated[_Letters, AfterValidator(_text)]
Number = Annotated[float, GetPydanticSchema(lambda _, __: _NUMBER)]
Whole = Annotated[int, Field(strict=True, ge=0, le=WEIGHTS)]
EpochNumber = Annotated[int, Field(strict=True, ge=0, le=EPOCHS)]
MaskHash = Annotated[str, Field(strict=True, pattern="^[0-9a-f]{32}$")]

Moment = Annotated[str, Field(strict=True, max_length=40), AfterValidator(_moment)]

# JSON has no tuples: a row arrives as a list.
_ROW = Field(strict=False)
EpochRow = Annotated[tuple[EpochNumber, Number, Number, Number, Number, Number, Number], _ROW]
RetentionRow = Annotated[tuple[EpochNumber, Number, Whole, Whole], _ROW]

_EPOCH_ROW = TypeAdapter[Any](EpochRow)


class SupportSchema(BaseModel):
    """The fields of `engine.study.results.Support`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    kept: Whole
    moved: Whole
    accuracy: Number
    oneshot_accuracy: Number

    @model_validator(mode="after")
    def _moved_is_part(self) -> "SupportSchema":
        if self.moved > self.kept:
            raise ValueError(f"{self.moved} weights moved of {self.kept} that the mask keeps; allowed: at most as many")
        return self


class OriginSchema(BaseModel):
    """The fields of `engine.study.results.Origin`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    lab: Text = ""
    worker: Text | None = None
    host: Text | None = None
    device: Text | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    imported_at: Moment | None = None


class CountsSchema(BaseModel):
    """The columns of an overlap, which are equally long; older results and other pairs lack expected."""

    model_config = ConfigDict(strict=True)

    layers: Annotated[list[_Letters], AfterValidator(_printable)] = []
    ps: list[Number] = []
    intersections: list[Whole] = []
    tops: list[Whole] = []
    sizes: list[Whole] = []
    expected: list[Number] = []

    @model_validator(mode="after")
    def _columns_fit(self) -> "CountsSchema":
        columns: list[Sequence[Any]] = [self.layers, self.ps, self.intersections, self.tops, self.sizes]
        if "expected" in self.model_fields_set:
            columns.append(self.expected)
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"its columns have {', '.join(str(len(c)) for c in columns)} rows; allowed: equally many")
        if self.expected and not (min(self.expected) >= 0 and all(map(le, self.expected, self.tops))):
            e, top = next((e, top) for e, top in zip(self.expected, self.tops, strict=True) if not 0 <= e <= top)
            raise ValueError(f"an expected intersection is {e!r}; allowed: 0 to {top}")
        return self


_COLUMNS = tuple(CountsSchema.model_fields)


def _named(columns: Any) -> dict[str, Any]:
    """Return the columns of an overlap by name; an overlap may have no columns at all."""
    most = len(_COLUMNS)
    if not isinstance(columns, list) or len(columns) not in (0, most - 1, most):
        kind = f"{len(columns)} columns" if isinstance(columns, list) else type(columns).__name__
        raise ValueError(f"counts of an overlap are {kind}; allowed: a list of {most - 1} or {most} columns")
    return dict(zip(_COLUMNS, columns, strict=False))


class OverlapSchema(BaseModel):
    """The fields of `engine.study.results.Overlap`."""

    model_config = ConfigDict(strict=True)

    pair: Text
    counts: Annotated[CountsSchema, BeforeValidator(_named)]


class ResultSchema(BaseModel):
    """A result as `engine.study.results.StageResult.to_json` writes it; further fields are ignored."""

    model_config = ConfigDict(strict=True)

    fingerprint: Text
    device: Text
    sparsity: Number
    seconds: Number
    versions: Annotated[dict[Text, Text], Field(max_length=LETTERS)]
    epochs: list[EpochRow]
    residuals: list[Number]
    overlaps: list[OverlapSchema]
    retention: list[RetentionRow] = []
    diverged: EpochNumber | None = None
    mask: MaskHash | None = None
    support: SupportSchema | None = None
    origin: OriginSchema | None = None


def check(values: Any) -> None:
    """Raise ValueError with the field, its value and what is allowed for values that are not a `ResultSchema`."""
    try:
        ResultSchema.model_validate(values)
    except ValidationError as error:
        raise ValueError(explained(error)) from error


def epoch_row(row: Any) -> None:
    """Raise ValueError for a row that is not the number of an epoch and its six measurements."""
    try:
        _EPOCH_ROW.validate_python(row)
    except ValidationError as error:
        raise ValueError(explained(error)) from error


def explained(error: ValidationError) -> str:
    """Return one line on the first error: its place, what is allowed, and at most 200 characters of the value."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}, given {str(first['input'])[:200]!r}"
