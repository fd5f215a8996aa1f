"""From the rows of several studies to points: one per recipe, network, dataset, learning rate, pruner, start, sparsity.

Only seeds are ever averaged. Points that differ in more than the chart's panels and colours get a line of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from typing import get_args

import pandas as pd

from app import words
from app.charts.chart import Numbers
from app.charts.marks import rate_looks, rate_name
from app.charts.palette import NEUTRAL, STARTS, Look, series
from app.charts.points import SPREADS, Spread, described, summarise
from app.compare.state import CompareState, Field
from data.datasets.registry import FOLDER
from data.queries.labels import once

FIELDS: tuple[Field, ...] = get_args(Field)
# The columns that tell one point from another; rows equal in them are its seeds.
KEYS = ["study", "recipe", "dataset", "network", "learning_rate", "pruner", "start", "sparsity"]
# The dense baseline belongs to all pruners and starts.
_OF_PRUNED = ("pruner", "start")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (8, 3, 2, 3))


def apart(rows: pd.DataFrame, studies: bool) -> pd.DataFrame:
    """Return rows of `data.queries.points` whose `recipe` names all that must not be averaged.

    studies: keep studies apart; else a row that several share is there once, and study is "". base is the recipe alone.
    """
    found = (rows if studies else once(rows).assign(study="")).assign(base=rows["recipe"])
    several = found["rounds"] != ""
    if several.any():
        both = found["recipe"].where(found["recipe"] == "", found["recipe"] + ", ") + found["rounds"]
        found = found.assign(recipe=found["recipe"].where(~several, both))
    return found


def by_studies(state: CompareState) -> bool:
    """Return whether the view tells studies apart."""
    return "study" in (state.panels, state.by)


def chosen(rows: pd.DataFrame, state: CompareState) -> pd.DataFrame:
    """Return the rows that pass the filters; a filter of pruners lets dense rows pass, for they have none."""
    passing = pd.Series(True, index=rows.index)
    for column, values in (("network", state.networks), ("dataset", state.datasets)):
        if values:
            passing &= rows[column].isin(values)
    if state.learning_rates:
        passing &= rows["learning_rate"].isin(state.learning_rates)
    if state.starts:
        passing &= rows["start"].isin(state.starts)
    if state.pruners:
        passing &= rows["pruner"].isin(state.pruners) | (rows["start"] == "dense")
    return rows[passing]


def points(rows: pd.DataFrame, value: str, spread: Spread) -> pd.DataFrame:
    """Return means over seeds of a column: KEYS, mean, sd, low, high, n, and id, which names a point in an address.

    Studies, networks and the like are in the order of the rows, starts, learning rates and sparsities in their own.
    """
    table = summarise(rows, value, KEYS, spread)
    places = pd.DataFrame({field: _places(field, rows[field], table[field]) for field in KEYS[:-1]})
    table = table.loc[places.assign(sparsity=table["sparsity"]).sort_values(KEYS).index].reset_index(drop=True)
    table["id"] = [point_id(key) for key in table[KEYS].itertuples(index=False, name=None)]
    return table


def _places(field: str, rows: pd.Series, values: pd.Series) -> pd.Series:
    order = in_order(field, rows)  # type: ignore[arg-type]
    # A dense network has no pruner, which is NaN in one column and None in another.
    place = {None if value != value else value: index for index, value in enumerate(order)}
    return values.map(lambda value: place[None if value != value else value])


def point_id(key: Iterable[object]) -> str:
    """Return eight hex digits that name a point; key: its values in the order of KEYS."""
    text = "\n".join("" if value is None or value != value else f"{value}" for value in key)
    return blake2b(text.encode(), digest_size=4).hexdigest()


def label(field: Field, value: object) -> str:
    """Return one value of a field in words."""
    if field == "learning_rate":
        return rate_name(float(str(value)))
    if field in _OF_PRUNED:
        return words.start(str(value)) if field == "start" else words.pruner(str(value))
    if field == "network":
        return words.network(str(value))
    if field == "dataset":
        # Two folders may share the last part of their paths, and two lines must not share a name.
        return str(value) if str(value).startswith(FOLDER) else words.dataset(str(value))
    return str(value) or "recipe without these settings"


def in_order(field: Field, values: Iterable[object]) -> list[object]:
    """Return the distinct values of a field in the order in which charts show them."""
    found = list(dict.fromkeys(values))
    if field == "start":
        order = list(STARTS)
        return sorted(found, key=lambda name: order.index(str(name)) if name in order else len(order))
    if field == "learning_rate":
        return sorted(found, key=lambda rate: float(str(rate)))
    return found


def looks(field: Field, rows: pd.DataFrame) -> dict[str, Look]:
    """Return how each value of a field is drawn, by its label; rows: all of the studies, so that colours stay."""
    values = in_order(field, rows[rows["start"] != "dense"][field] if field in _OF_PRUNED else rows[field])
    if field == "learning_rate":
        return rate_looks([float(str(value)) for value in values])
    if field == "start":
        return {STARTS[str(value)].name: STARTS[str(value)] for value in values}
    return series(label(field, value) for value in values)


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Columns of both frames: name and rest (keys of the looks), mean, low, high, n, id, described, and a text column for
    each field that tells lines apart; lines also have sparsity.
    """

    title: str
    lines: pd.DataFrame
    dense: pd.DataFrame


@dataclass(frozen=True)
class Comparison:
    """All panels with the looks that they share.

    colours: by name. rests: by the text that tells lines of one colour apart, empty where there is one line. fields:
    those with several values, for tooltips.
    """

    panels: tuple[Panel, ...]
    colours: dict[str, Look]
    rests: dict[str, Look]
    fields: tuple[Field, ...]


def compare(found: pd.DataFrame, colours: dict[str, Look], panels: Field, by: Field, spread: Spread) -> Comparison:
    """Return the panels of some points; colours: the looks of all values of `by`."""
    pruned, dense = found[found["start"] != "dense"], found[found["start"] == "dense"]
    rest = rest_fields(pruned, panels, by)
    fields = tuple(field for field in FIELDS if pruned[field].nunique() > 1 or field in (panels, by))
    lines = _named(pruned, by, rest, fields, spread)
    below = _named(dense, by, [field for field in rest if field not in _OF_PRUNED], fields, spread)
    values = in_order(panels, (dense if pruned.empty and panels not in _OF_PRUNED else pruned)[panels])
    names = list(dict.fromkeys(lines["rest"])) if rest else []
    # A baseline has no start's dash; it shares that of a line which differs from it in nothing but the start.
    return Comparison(
        tuple(
            Panel(
                label(panels, value),
                lines[pruned[panels] == value],
                below if panels in _OF_PRUNED else below[dense[panels] == value],
            )
            for value in values
        ),
        {name: look for name, look in colours.items() if name in set(lines["name"]) | set(below["name"])},
        rest_looks(names),
        fields,
    )


def rest_fields(found: pd.DataFrame, panels: Field, by: Field) -> list[Field]:
    """Return the fields, beside panels and colours, in which points of one panel and colour differ."""
    groups = found.groupby([panels, by], dropna=False, sort=False)
    return [
        field
        for field in FIELDS
        if field not in (panels, by) and len(found) and int(groups[field].nunique(dropna=False).max()) > 1
    ]


def _named(
    found: pd.DataFrame, by: Field, rest: Sequence[Field], fields: Sequence[Field], spread: Spread
) -> pd.DataFrame:
    is_dense = found["start"] == "dense"
    texts = {field: [label(field, value) if value is not None else "" for value in found[field]] for field in fields}
    rests = [texts[field] if field in texts else [label(field, value) for value in found[field]] for field in rest]
    columns = found[["mean", "low", "high"]].round(4).assign(n=found["n"], id=found["id"], sparsity=found["sparsity"])
    columns["name"] = (
        STARTS["dense"].name if by in _OF_PRUNED and is_dense.any() else [label(by, value) for value in found[by]]
    )
    columns["rest"] = [" · ".join(parts) for parts in zip(*rests, strict=True)] if rests else ""
    columns["described"] = described(found, spread)
    for field, text in texts.items():
        columns[field] = text
    return columns


def rest_looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a grey look for each name, distinct in dash and shape; past twenty-four, they repeat."""
    styles = [(shape, dash) for dash, shape in product(_DASHES, _SHAPES)]
    # Shape and dash change together while they last, so that neighbours differ in both.
    styles.sort(key=lambda style: (_SHAPES.index(style[0]) - _DASHES.index(style[1])) % len(_SHAPES))
    return {
        name: replace(Look(name, name, NEUTRAL, "circle"), shape=shape, dash=dash)
        for name, (shape, dash) in zip(names, styles * (len(names) // len(styles) + 1), strict=False)
    }


def means(rows: pd.DataFrame, value: str, by: Sequence[str], spread: Spread) -> Numbers:
    """Return a function that makes the means over seeds of a column, with their spread and n."""

    def numbers() -> pd.DataFrame:
        columns = [name for name in ("network", "dataset", "recipe") if name in rows and name not in by]
        return summarise(rows, value, [*columns, *by], spread).assign(band=SPREADS[spread])

    return numbers
