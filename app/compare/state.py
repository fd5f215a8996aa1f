"""What the Compare page shows, as one frozen value, and that value as the short query string of its address."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from app.charts.accuracy import Measure
from app.charts.overlap import Across
from app.charts.points import Spread
from app.charts.retention import Time
from app.state import compare_queries
from app.state.cache import Marker

Mode = Literal["accuracy", "sweep", "overlap"]
Field = Literal["learning_rate", "start", "pruner", "network", "dataset", "study", "recipe"]
Axis = Literal["sparsity", "remaining"]

FIELD_NAMES: dict[Field, str] = {
    "learning_rate": "learning rate",
    "start": "start",
    "pruner": "pruner",
    "network": "network",
    "dataset": "dataset",
    "study": "study",
    "recipe": "recipe",
}

# Letters of a study's id that an address shows at least.
SHORTEST = 6


@dataclass(frozen=True)
class CompareState:
    """What the page shows.

    studies: whole ids. networks, datasets, pruners, learning_rates, starts: filters; empty for all. panels
    and by: what tells panels and colours apart, never the same. zoom: left, right, bottom and top of the axes as shown,
    None for all. point: the id of the point whose seeds are listed, "" for none. pruner and sparsity: of the learning
    rate sweep; "" and None for whichever is first. p: of the overlap ratio.
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
    axis: Axis = "sparsity"
    zoom: tuple[float, float, float, float] | None = None
    point: str = ""
    pruner: str = ""
    sparsity: float | None = None
    p: float = 0.2
    time: Time = "linear"
    across: Across = "p"


def change(state: CompareState, name: str, value: Any) -> CompareState:
    """Return a state with one field changed; zoom, point and equal fields are reset where they lose their meaning."""
    changed: CompareState = replace(state, **{name: value})
    if name in ("mode", "axis", "measure", "studies"):
        changed = replace(changed, zoom=None)
    if name in ("mode", "studies"):
        changed = replace(changed, point="")
    if changed.panels == changed.by:
        # The two trade places.
        changed = replace(changed, panels=state.by) if name == "by" else replace(changed, by=state.panels)
    return changed


def encode(state: CompareState, known: Sequence[str] = ()) -> dict[str, str]:
    """Return a state as query parameters, without those that have their default.

    known: the ids of all studies, which are shortened as far as they stay distinct; without them, ids are whole.
    """
    values = {"s": _joined([_shortest(study_id, known) if known else study_id for study_id in state.studies])}
    for field in fields(CompareState):
        value = getattr(state, field.name)
        if field.name != "studies" and value != field.default:
            values[_SHORT[field.name]] = _text(value)
    return values


def decode(params: Mapping[str, str], known: Sequence[str]) -> tuple[CompareState, tuple[str, ...]]:
    """Return the state that query parameters describe, and a line about each that is invalid, which is left out.

    known: the ids of all studies. Parameters of other names are ignored.
    """
    state, problems = CompareState(), []
    found: list[str] = []
    for prefix in _parted(params.get("s", "")):
        matching = [prefix] if prefix in known else [study_id for study_id in known if study_id.startswith(prefix)]
        if len(matching) == 1:
            found += [study_id for study_id in matching if study_id not in found]
        else:
            problems.append(
                f"Study {_quoted(prefix)} is not recorded here."
                if not matching
                else f"{len(matching)} studies begin with {_quoted(prefix)}: choose one of them."
            )
    state = replace(state, studies=tuple(found))
    for name, read in _READ.items():
        text = params.get(_SHORT[name])
        if text is None:
            continue
        try:
            state = replace(state, **{name: read(text)})
        except ValueError:
            problems.append(f"The address gives {_quoted(text)} as {_WORDS[name]}, which is none: it is left out.")
    if state.panels == state.by:
        problems.append(f"Panels and colours cannot both tell {_FIELDS[state.by]} apart: colours tell another.")
        state = replace(state, by="start" if state.panels != "start" else "learning_rate")
    return state, tuple(problems)


def to_query(state: CompareState, known: Sequence[str] = ()) -> str:
    """Return a state as the query string of an address, without its question mark."""
    return urlencode(encode(state, known))


def from_query(query: str, known: Sequence[str]) -> tuple[CompareState, tuple[str, ...]]:
    """Return the state that a query string describes, and a line about each invalid parameter; see `decode`."""
    return decode(dict(parse_qsl(query, keep_blank_values=True)), known)


def _shortest(study_id: str, known: Sequence[str]) -> str:
    """Return the shortest beginning of an id that no other known one has."""
    for length in range(SHORTEST, len(study_id)):
        if sum(other.startswith(study_id[:length]) for other in known) <= 1 and study_id[:length] not in known:
            return study_id[:length]
    return study_id


# Not escaped in addresses, so that lists stay short and legible.
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


def _one_of(allowed: Any) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in get_args(allowed):
            raise ValueError(text)
        return text

    return read


def _quoted(text: str) -> str:
    return f"“{text[:40]}{'…' if len(text) > 40 else ''}”"


_SHORT = {
    "mode": "v",
    "networks": "n",
    "datasets": "d",
    "pruners": "pr",
    "learning_rates": "lr",
    "starts": "st",
    "panels": "by",
    "by": "c",
    "measure": "m",
    "spread": "b",
    "axis": "x",
    "zoom": "z",
    "point": "at",
    "pruner": "q",
    "sparsity": "sp",
    "p": "p",
    "time": "t",
    "across": "a",
}
_READ: dict[str, Callable[[str], Any]] = {
    "mode": _one_of(Mode),
    "networks": _texts,
    "datasets": _texts,
    "pruners": _texts,
    "learning_rates": _rates,
    "starts": _texts,
    "panels": _one_of(Field),
    "by": _one_of(Field),
    "measure": _one_of(Measure),
    "spread": _one_of(Spread),
    "axis": _one_of(Axis),
    "zoom": _zoom,
    "point": _point,
    "pruner": str,
    "sparsity": _fraction,
    "p": _fraction,
    "time": _one_of(Time),
    "across": _one_of(Across),
}
_FIELDS: dict[str, str] = {
    "learning_rate": "learning rates",
    "start": "starts",
    "pruner": "pruners",
    "network": "networks",
    "dataset": "datasets",
    "study": "studies",
    "recipe": "recipes",
}
_WORDS: dict[str, str] = {
    "mode": "what to view",
    "learning_rates": "learning rates",
    "panels": "what panels tell apart",
    "by": "what colours tell apart",
    "measure": "the accuracy to show",
    "spread": "the band over seeds",
    "axis": "the horizontal axis",
    "zoom": "the part to zoom to",
    "point": "the point chosen",
    "sparsity": "a sparsity",
    "p": "p",
    "time": "the axis of time",
    "across": "what runs across the heat map",
}


def results(state: CompareState) -> Marker:
    """Return what changes whenever one of the studies compared has a new result."""
    return compare_queries.marker(state.studies)
