"""The points of a comparison: means over seeds, and the looks by which a chart tells them apart.

Points that differ in more than the chart's panels and colours get separate lines.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from typing import get_args

import pandas as pd

from app import words
from app.charts.marks import rate_looks, rate_name
from app.charts.palette import NEUTRAL, STARTS, Look, series
from app.charts.points import Quantity, Spread, described, minus_dense, summarise
from app.compare.state import CompareState, Field
from data.datasets.registry import FOLDER
from data.queries.labels import once
from engine.formatting import percent_value

FIELDS: tuple[Field, ...] = get_args(Field)
# These columns identify a point; rows that are equal in them are its seeds.
KEYS = ["study", "recipe", "dataset", "network", "learning_rate", "pruner", "start", "sparsity"]
# A dense baseline has no pruner and start: it belongs to all of them.
_OF_PRUNED = ("pruner", "start")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (8, 3, 2, 3))
# What a pruned network shares with its dense network beside learning rate and seed.
_SHARED = ("study", "base", "dataset", "network")


def comparable(rows: pd.DataFrame, studies: bool) -> pd.DataFrame:
    """Return rows of `data.queries.points` with pruning rounds added to `recipe`, so that only seeds are averaged.

    studies: whether to average each study alone; else a row that several studies share is returned once, with study "".
    The column base is the recipe without pruning rounds.
    """
    rows = (rows if studies else once(rows).assign(study="")).assign(base=rows["recipe"])
    has_rounds = rows["rounds"] != ""
    if has_rounds.any():
        both = rows["recipe"].where(rows["recipe"] == "", rows["recipe"] + ", ") + rows["rounds"]
        rows = rows.assign(recipe=rows["recipe"].where(~has_rounds, both))
    return rows


def by_studies(state: CompareState) -> bool:
    """Return whether the view shows studies separately."""
    return "study" in (state.panels, state.by) or (len(state.studies) > 1 and state.together == "apart")


def values(rows: pd.DataFrame, value: str, quantity: Quantity) -> pd.DataFrame:
    """Return rows of `comparable` with the values of a quantity in a column of accuracies; dense rows keep theirs."""
    if quantity == "accuracy":
        return rows
    return pd.concat([rows[rows["start"] == "dense"], minus_dense(rows, value, _SHARED)])


def filtered(rows: pd.DataFrame, state: CompareState) -> pd.DataFrame:
    """Return the rows that pass the filters; dense rows, which have no pruner, pass every filter of pruners."""
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

    Points are sorted by KEYS: each column in the order of `in_order`, sparsities from the lowest.
    """
    table = summarise(rows, value, KEYS, spread)
    ranks = pd.DataFrame({field: _ranks(field, rows[field], table[field]) for field in KEYS[:-1]})
    table = table.loc[ranks.assign(sparsity=table["sparsity"]).sort_values(KEYS).index].reset_index(drop=True)
    table["id"] = [point_id(key) for key in table[KEYS].itertuples(index=False, name=None)]
    return table


def _ranks(field: str, rows: pd.Series, values: pd.Series) -> pd.Series:
    order = in_order(field, rows)  # type: ignore[arg-type]
    # The missing pruner of a dense network is NaN in one column and None in another.
    ranks = {None if value != value else value: rank for rank, value in enumerate(order)}
    return values.map(lambda value: ranks[None if value != value else value])


def point_id(key: Iterable[object]) -> str:
    """Return the id of a point as eight hex digits; key: its values in the order of KEYS."""
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
        # Two folders may share the last part of their paths, but two lines must not share a name.
        return str(value) if str(value).startswith(FOLDER) and "/" in str(value) else words.dataset(str(value))
    return str(value) or "recipe without these settings"


def in_order(field: Field, values: Iterable[object]) -> list[object]:
    """Return the distinct values of a field: starts in the registry's order, learning rates from the lowest.

    The values of other fields stay in the order of their first appearance.
    """
    distinct = list(dict.fromkeys(values))
    if field == "start":
        order = list(STARTS)
        return sorted(distinct, key=lambda name: order.index(str(name)) if name in order else len(order))
    if field == "learning_rate":
        return sorted(distinct, key=lambda rate: float(str(rate)))
    return distinct


def looks(field: Field, rows: pd.DataFrame) -> dict[str, Look]:
    """Return the look of each value of a field, by its label; rows: all rows of the studies, so that colours stay."""
    values = in_order(field, rows[rows["start"] != "dense"][field] if field in _OF_PRUNED else rows[field])
    if field == "learning_rate":
        return rate_looks([float(str(value)) for value in values])
    if field == "start":
        return {STARTS[str(value)].name: STARTS[str(value)] for value in values}
    return series(label(field, value) for value in values)


@dataclass(frozen=True)
class ComparisonPanel:
    """The points of one panel: those of its lines, and those of its dense baselines.

    Columns of both frames: name and rest (keys of the looks), sparsity, mean, low, high, n, id, described, and a text
    column for each field of the comparison.
    """

    title: str
    lines: pd.DataFrame
    dense: pd.DataFrame

    @property
    def studies(self) -> list[str]:
        """The studies whose points it has, where they are shown separately."""
        columns = [frame["study"] for frame in (self.lines, self.dense) if "study" in frame]
        return [name for name in dict.fromkeys(pd.concat(columns)) if name] if columns else []


@dataclass(frozen=True)
class Comparison:
    """All panels with the looks that they share.

    colours: the looks by name. rests: the looks by the text that tells lines of one colour apart; empty where a colour
    has one line. dense: the same for dense baselines. fields: the fields that tooltips name, for they have several
    values.
    """

    panels: tuple[ComparisonPanel, ...]
    colours: dict[str, Look]
    rests: dict[str, Look]
    dense: dict[str, Look]
    fields: tuple[Field, ...]


def compare(table: pd.DataFrame, colours: dict[str, Look], panels: Field, by: Field, spread: Spread) -> Comparison:
    """Return the panels of a table of `points`; colours: the looks of all values of `by`."""
    pruned, dense = table[table["start"] != "dense"], table[table["start"] == "dense"]
    rest = rest_fields(pruned, panels, by)
    fields = tuple(field for field in FIELDS if pruned[field].nunique() > 1 or field in (panels, by))
    lines = _named(pruned, by, rest, fields, spread)
    baselines = _named(dense, by, [field for field in rest if field not in _OF_PRUNED], fields, spread)
    values = in_order(panels, (dense if pruned.empty and panels not in _OF_PRUNED else pruned)[panels])
    each = table["study"].nunique() > 1
    names = dict(zip(lines["rest"], pruned["study"] if each else [""] * len(lines), strict=True)) if rest else {}
    dense_names = dict(zip(baselines["rest"], dense["study"], strict=True)) if each and "study" in rest else {}
    return Comparison(
        tuple(
            ComparisonPanel(
                label(panels, value),
                lines[pruned[panels] == value],
                baselines if panels in _OF_PRUNED else baselines[dense[panels] == value],
            )
            for value in values
        ),
        {name: look for name, look in colours.items() if name in set(lines["name"]) | set(baselines["name"])},
        rest_looks(names),
        rest_looks(dense_names),
        fields,
    )


def rest_fields(table: pd.DataFrame, panels: Field, by: Field) -> list[Field]:
    """Return the fields other than `panels` and `by` in which points of one panel and colour differ."""
    groups = table.groupby([panels, by], dropna=False, sort=False)
    # A line is named by its study first.
    return [
        field
        for field in sorted(FIELDS, key=lambda field: field != "study")
        if field not in (panels, by) and len(table) and int(groups[field].nunique(dropna=False).max()) > 1
    ]


def _named(
    table: pd.DataFrame, by: Field, rest: Sequence[Field], fields: Sequence[Field], spread: Spread
) -> pd.DataFrame:
    """Return the columns of a ComparisonPanel for points that are all dense or all pruned."""
    is_dense = table["start"] == "dense"
    texts = {field: [label(field, value) if value is not None else "" for value in table[field]] for field in fields}
    rests = [texts[field] if field in texts else [label(field, value) for value in table[field]] for field in rest]
    columns = table[["mean", "low", "high"]].round(4).assign(n=table["n"], id=table["id"], sparsity=table["sparsity"])
    columns["name"] = (
        STARTS["dense"].name if by in _OF_PRUNED and is_dense.any() else [label(by, value) for value in table[by]]
    )
    columns["rest"] = [" · ".join(parts) for parts in zip(*rests, strict=True)] if rests else ""
    columns["described"] = described(table, spread)
    for field, text in texts.items():
        columns[field] = text
    return columns


def point_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the first columns of a table of points: the fields of KEYS that differ, and always start and sparsity."""
    titles = {"learning_rate": "learning rate", "sparsity": "sparsity (%)"}
    columns = {}
    for name in ["study", *KEYS[1:]]:
        if name in ("start", "sparsity") or rows[name].replace("", None).nunique() > 1:
            columns[titles.get(name, name)] = _column(name, rows[name])
    return pd.DataFrame(columns, index=rows.index)


def _column(name: str, values: pd.Series) -> pd.Series:
    if name == "sparsity":
        return values.map(percent_value).astype(float)
    if name == "learning_rate":
        return values
    return values.map(lambda value: "" if value is None or value != value else label(name, value))  # type: ignore[arg-type]


def rest_looks(names: Mapping[str, str]) -> dict[str, Look]:
    """Return a grey look for each name, distinct in dash and shape; from the 25th on, they repeat.

    names: the study of each, or "". Where there are several studies, each has a dash of its own as far as there are
    enough, and shapes tell its lines apart.
    """
    studies = list(dict.fromkeys(names.values()))
    if len(studies) > 1:
        styles = []
        for index, (name, study) in enumerate(names.items()):
            place = studies.index(study)
            within = list(names.values())[:index].count(study)
            shape = _SHAPES[(place + within) % len(_SHAPES)]
            styles.append((name, (shape, _DASHES[place % len(_DASHES)])))
    else:
        free = [(shape, dash) for dash, shape in product(_DASHES, _SHAPES)]
        # Neighbours differ in both shape and dash.
        free.sort(key=lambda style: (_SHAPES.index(style[0]) - _DASHES.index(style[1])) % len(_SHAPES))
        styles = list(zip(names, free * (len(names) // len(free) + 1), strict=False))
    return {
        name: replace(Look(name, name, NEUTRAL, "circle"), shape=shape, dash=dash) for name, (shape, dash) in styles
    }
