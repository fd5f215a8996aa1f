"""The form of a result as JSON: checked before a result is recorded or handed to a study."""

from collections.abc import Sequence
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

# What DuckDB's INTEGER holds, for what counts epochs, and what a float tells apart, for what counts weights.
EPOCHS, WEIGHTS = 2**31 - 1, 2**53
LETTERS = 1_000
SHOWN = 80


def _printable(texts: list[str]) -> list[str]:
    # One call for a whole column: an overlap has a text for each of thousands of counts.
    if not "".join(texts).isprintable():
        odd = next(text for text in texts if not text.isprintable())
        raise ValueError(f"{odd[:SHOWN]!r} holds characters that cannot be printed")
    return texts


def _text(text: str) -> str:
    return _printable([text])[0]


# A float must be finite and an integer one that a float tells apart. True and False are no numbers.
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

# JSON has no tuples: a row arrives as a list.
_ROW = Field(strict=False)
EpochRow = Annotated[tuple[EpochNumber, Number, Number, Number, Number, Number, Number], _ROW]
RetentionRow = Annotated[tuple[EpochNumber, Number, Whole, Whole], _ROW]

_EPOCH_ROW = TypeAdapter[Any](EpochRow)


class Support(BaseModel):
    """The fields of `engine.study.results.Support`: weights kept, those of them that moved, and two accuracies."""

    model_config = ConfigDict(strict=True, extra="forbid")

    kept: Whole
    moved: Whole
    accuracy: Number
    oneshot_accuracy: Number

    @model_validator(mode="after")
    def _moved_is_part(self) -> "Support":
        if self.moved > self.kept:
            raise ValueError(f"{self.moved} weights moved of {self.kept} that the mask keeps; allowed: at most as many")
        return self


class Counts(BaseModel):
    """The columns of an overlap, equally long; expected only for pairs that have it, and not in older results."""

    model_config = ConfigDict(strict=True)

    layers: Annotated[list[_Letters], AfterValidator(_printable)] = []
    ps: list[Number] = []
    intersections: list[Whole] = []
    tops: list[Whole] = []
    sizes: list[Whole] = []
    expected: list[Number] = []

    @model_validator(mode="after")
    def _columns_fit(self) -> "Counts":
        columns: list[Sequence[Any]] = [self.layers, self.ps, self.intersections, self.tops, self.sizes]
        if "expected" in self.model_fields_set:
            columns.append(self.expected)
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"its columns have {', '.join(str(len(c)) for c in columns)} rows; allowed: equally many")
        if self.expected and not (min(self.expected) >= 0 and all(map(le, self.expected, self.tops))):
            odd = next((e, top) for e, top in zip(self.expected, self.tops, strict=True) if not 0 <= e <= top)
            raise ValueError(f"an expected intersection is {odd[0]!r}; allowed: 0 to {odd[1]}")
        return self


_COLUMNS = tuple(Counts.model_fields)


def _named(columns: Any) -> dict[str, Any]:
    """Return the columns of an overlap by their names; an overlap may have none at all."""
    most = len(_COLUMNS)
    if not isinstance(columns, list) or len(columns) not in (0, most - 1, most):
        given = f"{len(columns)} columns" if isinstance(columns, list) else type(columns).__name__
        raise ValueError(f"counts of an overlap are {given}; allowed: a list of {most - 1} or {most} columns")
    return dict(zip(_COLUMNS, columns, strict=False))


class Overlap(BaseModel):
    """The counts of one pair of networks; see `engine.study.results.Overlap`."""

    model_config = ConfigDict(strict=True)

    pair: Text
    counts: Annotated[Counts, BeforeValidator(_named)]


class Result(BaseModel):
    """A result as `engine.study.results.StageResult.to_json` writes it; further fields are ignored."""

    model_config = ConfigDict(strict=True)

    fingerprint: Text
    device: Text
    sparsity: Number
    seconds: Number
    versions: Annotated[dict[Text, Text], Field(max_length=LETTERS)]
    epochs: list[EpochRow]
    residuals: list[Number]
    overlaps: list[Overlap]
    retention: list[RetentionRow] = []
    diverged: EpochNumber | None = None
    mask: MaskHash | None = None
    support: Support | None = None


def check(values: Any) -> None:
    """Raise ValueError with the field, its value and what is allowed where values are not a `Result`."""
    try:
        Result.model_validate(values)
    except ValidationError as error:
        raise ValueError(explained(error)) from error


def epoch_row(row: Any) -> None:
    """Raise ValueError where a row is not the number of an epoch and its six measurements."""
    try:
        _EPOCH_ROW.validate_python(row)
    except ValidationError as error:
        raise ValueError(explained(error)) from error


def explained(error: ValidationError) -> str:
    """Return in one line where the first error is, what is allowed and what was given, at most 200 characters of it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}, given {str(first['input'])[:200]!r}"
