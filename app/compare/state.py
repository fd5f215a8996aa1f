"""The state of the Compare page as one frozen value, and as the short query string of an address."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from app.charts.accuracy import Measure
from app.charts.overlap import Across
from app.charts.points import EVEN, LEFT, Fit, Quantity, Spread
from app.charts.retention import Time
from app.state import compare_queries
from app.state.cache import Marker

Mode = Literal["accuracy", "sweep", "overlap"]
Field = Literal["learning_rate", "start", "pruner", "network", "dataset", "study", "recipe"]
# How sparsities are spaced: evenly by the weights removed, or by the logarithm of the weights left.
Axis = Literal["sparsity", "remaining"]
SPACINGS: dict[Axis, str] = {"remaining": LEFT, "sparsity": EVEN}
# Whether each study has means of its own, or equal recipes of all studies are averaged together.
Together = Literal["apart", "pooled"]
TOGETHER: dict[Together, str] = {"apart": "each alone", "pooled": "equal recipes together"}

FIELD_NAMES: dict[Field, str] = {field: field.replace("_", " ") for field in get_args(Field)}

# An address shows at least this many letters of a study's id.
SHORTEST = 6


@dataclass(frozen=True)
class CompareState:
    """The choices of the reader.

    studies: whole ids. networks, datasets, pruners, learning_rates, starts: filters; empty for all. panels, by: the
    fields that tell panels and colours apart, never the same. zoom: left, right, bottom and top of the axes in percent,
    None for the whole axes. page: which of many panels are drawn. versus: the places in `studies` of the two whose
    difference is shown. point: the id of the point whose seeds are listed, "" for none. pruner, sparsity: those of the
    learning rate sweep; "" for the first pruner, None for the usual sparsity. p: the fraction of weights compared by
    the overlap ratio.
    """

    studies: tuple[str, ...] = ()
    mode: Mode = "accuracy"
    networks: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    pruners: tuple[str, ...] = ()
    learning_rates: tuple[float, ...] = ()
    starts: tuple[str, ...] = ()
    panels: Field = "learning_rate"
    by: Field = "start"
    measure: Measure = "test_accuracy"
    spread: Spread = "sd"
    quantity: Quantity = "accuracy"
    fit: Fit = "near"
    axis: Axis = "sparsity"
    together: Together = "apart"
    page: int = 0
    versus: tuple[int, int] = (0, 1)
    zoom: tuple[float, float, float, float] | None = None
    point: str = ""
    pruner: str = ""
    sparsity: float | None = None
    p: float = 0.2
    time: Time = "linear"
    across: Across = "p"


def change(state: CompareState, name: str, value: Any) -> CompareState:
    """Return a state with one field changed; fields that the change makes meaningless are reset."""
    changed: CompareState = replace(state, **{name: value})
    if name in ("mode", "axis", "measure", "quantity", "fit", "studies"):
        changed = replace(changed, zoom=None)
    if name in ("mode", "studies", "together"):
        changed = replace(changed, point="")
    if name not in ("page", "zoom", "point", "versus"):
        changed = replace(changed, page=0)
    if name == "studies":
        changed = replace(changed, versus=(0, 1))
    if changed.panels == changed.by:
        # `panels` and `by` are swapped.
        changed = replace(changed, panels=state.by) if name == "by" else replace(changed, by=state.panels)
    return changed


def encode(state: CompareState, known: Sequence[str] = ()) -> dict[str, str]:
    """Return a state as query parameters, without fields that have their default.

    known: the ids of all studies; with them, the state's ids are shortened as far as they stay distinct.
    """
    values = {"s": _joined([_shortest(study_id, known) if known else study_id for study_id in state.studies])}
    for field in fields(CompareState):
        value = getattr(state, field.name)
        if field.name != "studies" and value != field.default:
            values[_PARAMETERS[field.name][0]] = _text(value)
    return values


def decode(params: Mapping[str, str], known: Sequence[str]) -> tuple[CompareState, tuple[str, ...]]:
    """Return the state that query parameters describe, and a sentence on each invalid one, which is ignored.

    known: the ids of all studies. Parameters with unknown names are ignored.
    """
    state, problems = CompareState(), []
    studies: list[str] = []
    for prefix in _parted(params.get("s", "")):
        matching = [prefix] if prefix in known else [study_id for study_id in known if study_id.startswith(prefix)]
        if len(matching) == 1:
            studies += [study_id for study_id in matching if study_id not in studies]
        else:
            problems.append(
                f"Study {_quoted(prefix)} is not recorded here."
                if not matching
                else f"{len(matching)} studies begin with {_quoted(prefix)}: choose one of them."
            )
    state = replace(state, studies=tuple(studies))
    for name, (parameter, read, meaning) in _PARAMETERS.items():
        text = params.get(parameter)
        if text is None:
            continue
        try:
            state = replace(state, **{name: read(text)})
        except ValueError:
            problems.append(f"The address gives {_quoted(text)} as {meaning}, which is not valid: it is ignored.")
    if state.panels == state.by:
        problems.append(f"Panels and colours cannot both tell {_plural(state.by)} apart: colours tell another field.")
        state = replace(state, by="start" if state.panels != "start" else "learning_rate")
    return state, tuple(problems)


def _plural(field: Field) -> str:
    return "studies" if field == "study" else f"{FIELD_NAMES[field]}s"


def to_query(state: CompareState, known: Sequence[str] = ()) -> str:
    """Return a state as the query string of an address, without its question mark."""
    return urlencode(encode(state, known))


def from_query(query: str, known: Sequence[str]) -> tuple[CompareState, tuple[str, ...]]:
    """Return the state that a query string describes, and a sentence on each invalid parameter; see `decode`."""
    return decode(dict(parse_qsl(query, keep_blank_values=True)), known)


def _shortest(study_id: str, known: Sequence[str]) -> str:
    """Return the shortest beginning of an id by which no other known id begins."""
    for length in range(SHORTEST, len(study_id)):
        if sum(other.startswith(study_id[:length]) for other in known) <= 1 and study_id[:length] not in known:
            return study_id[:length]
    return study_id


# Addresses need no escape for this letter, so lists stay short and legible.
_BETWEEN = "~"


def _joined(values: Sequence[str]) -> str:
    return _BETWEEN.join(value.replace("%", "%25").replace(_BETWEEN, "%7E") for value in values)


def _parted(text: str) -> list[str]:
    return [part.replace("%7E", _BETWEEN).replace("%25", "%") for part in text.split(_BETWEEN) if part]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return _joined([_text(item) for item in value])
    return value if isinstance(value, str) else repr(float(value)).removesuffix(".0")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _fraction(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def _texts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_parted(text)))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(dict.fromkeys(_number(part) for part in _parted(text)))


def _zoom(text: str) -> tuple[float, float, float, float]:
    left, right, bottom, top = (_number(part) for part in _parted(text))
    if not (left < right and bottom < top):
        raise ValueError(text)
    return left, right, bottom, top


def _point(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}", text):
        raise ValueError(text)
    return text


def _page(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1000:
        raise ValueError(text)
    return value


def _versus(text: str) -> tuple[int, int]:
    one, other = (_page(part) for part in _parted(text))
    if one == other:
        raise ValueError(text)
    return one, other


def _one_of(allowed: Any) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in get_args(allowed):
            raise ValueError(text)
        return text

    return read


def _quoted(text: str) -> str:
    return f"“{text[:40]}{'…' if len(text) > 40 else ''}”"


# Each field's name in an address, the function that reads its text, and the meaning of that text.
_PARAMETERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "mode": ("v", _one_of(Mode), "what to view"),
    "networks": ("n", _texts, "networks"),
    "datasets": ("d", _texts, "datasets"),
    "pruners": ("pr", _texts, "pruners"),
    "learning_rates": ("lr", _rates, "learning rates"),
    "starts": ("st", _texts, "starts"),
    "panels": ("by", _one_of(Field), "what panels tell apart"),
    "by": ("c", _one_of(Field), "what colours tell apart"),
    "measure": ("m", _one_of(Measure), "the accuracy to show"),
    "spread": ("b", _one_of(Spread), "the band over seeds"),
    "quantity": ("y", _one_of(Quantity), "the quantity to show"),
    "fit": ("f", _one_of(Fit), "what the vertical axes hold"),
    "axis": ("x", _one_of(Axis), "the horizontal axis"),
    "together": ("g", _one_of(Together), "whether to average studies together"),
    "page": ("pg", _page, "the page of panels"),
    "versus": ("vs", _versus, "two studies to subtract"),
    "zoom": ("z", _zoom, "the part to zoom to"),
    "point": ("at", _point, "the id of a point"),
    "pruner": ("q", str, "a pruner"),
    "sparsity": ("sp", _fraction, "a sparsity"),
    "p": ("p", _fraction, "p"),
    "time": ("t", _one_of(Time), "the axis of time"),
    "across": ("a", _one_of(Across), "what runs across the heat map"),
}


def results(state: CompareState) -> Marker:
    """Return a value that changes whenever one of the compared studies has a new result."""
    return compare_queries.marker(state.studies)
