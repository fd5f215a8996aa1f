"""Accuracy against sparsity: one panel per learning rate and pruner, the starts side by side, dense as a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.marks import PERCENT, colour, dash, removed, shape
from app.charts.palette import NEUTRAL, STARTS
from app.charts.points import SPREADS, Spread, described, notes, summarise

Measure = Literal["test_accuracy", "best_test_accuracy"]

# The best epoch is chosen by what it is then reported for, so its name says so wherever it stands.
MEASURES: dict[Measure, str] = {
    "test_accuracy": "last epoch",
    "best_test_accuracy": "best epoch on the test images",
}
HEIGHT = 290

# What Altair's own types say that layering gives.
Layers = alt.LayerChart | alt.FacetChart

# The names of the rows of a panel.
_LINES, _DENSE = "lines", "dense"
_KEYS = ["learning_rate", "pruner", "start", "sparsity"]


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    lines: a row per start and sparsity (start, sparsity, mean, sd, low, high, n, and a note where another sparsity was
    measured). dense: the baseline's row, or none.
    """

    learning_rate: float
    pruner: str
    lines: pd.DataFrame
    dense: pd.DataFrame

    @property
    def title(self) -> str:
        """The panel's name: its learning rate and pruner."""
        return f"learning rate {words.number(self.learning_rate)} · {words.pruner(self.pruner)}"


def panels(accuracy: pd.DataFrame, measure: Measure, spread: Spread) -> list[Panel]:
    """Return the panels of one dataset and network, by pruner, then learning rate.

    accuracy: `data.queries.points.accuracy` rows of one dataset and one network, in percent.
    """
    dense = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], spread)
    pruned = accuracy[accuracy["start"] != "dense"]
    lines = summarise(pruned, measure, _KEYS, spread)
    lines["note"] = _notes(lines, pruned, _KEYS)
    found = pruned[["pruner", "learning_rate"]].drop_duplicates()
    rates = sorted(accuracy["learning_rate"].unique())
    return [
        Panel(
            float(rate),
            pruner,
            lines[(lines["pruner"] == pruner) & (lines["learning_rate"] == rate)],
            dense[dense["learning_rate"] == rate],
        )
        for pruner in _in_order(found["pruner"])
        for rate in rates
    ]


def _in_order(pruners: pd.Series) -> list[str]:
    """Return pruners in the order that the study first names them."""
    return [str(name) for name in dict.fromkeys(pruners)]


def domain(shown: Sequence[Panel]) -> tuple[float, float]:
    """Return the accuracy axis, in percent, that holds every mean and band of some panels."""
    frames = [frame[["mean", "low", "high"]] for panel in shown for frame in (panel.lines, panel.dense)]
    values = pd.concat([pd.DataFrame(columns=["mean"]), *frames]).stack().astype(float)
    if values.empty:
        return 0.0, 100.0
    lowest, highest = float(values.min()), float(values.max())
    margin = max(0.08 * (highest - lowest), 0.5)
    return max(0.0, lowest - margin), min(100.0, highest + margin)


def chart(panel: Panel, measure: Measure, spread: Spread, y: tuple[float, float]) -> vega.Spec:
    """Return one panel: mean accuracy by sparsity for every start, bands over seeds, the dense baseline as a rule.

    y: the accuracy axis in percent, the same for panels that are compared.
    """
    lines = _labelled(panel.lines, spread)
    sparsities = tuple(sorted(lines["removed"].unique()))
    pad = 3.0
    span = (min(sparsities) - pad, max(sparsities) + pad) if sparsities else (0.0, 100.0)
    dense = panel.dense.assign(told=_with_notes(panel.dense, spread), left=span[0], right=span[1])
    rows = {_LINES: lines, _DENSE: dense[["mean", "low", "high", "n", "told", "left", "right"]]}
    return vega.filled(_panel, (sparsities, span, not dense.empty, measure, spread, y), rows)


def _panel(
    sparsities: Sequence[float],
    span: tuple[float, float],
    has_dense: bool,
    measure: Measure,
    spread: Spread,
    y: tuple[float, float],
) -> Layers:
    x = alt.X(
        "removed:Q",
        title="sparsity (% of prunable weights removed)",
        scale=alt.Scale(domain=list(span), nice=False, zero=False),
        axis=alt.Axis(values=list(sparsities), format=PERCENT, labelOverlap="greedy", grid=False),
    )
    axis = alt.Y(
        "mean:Q",
        title=f"test accuracy, {MEASURES[measure]} (%)",
        scale=alt.Scale(domain=list(y), nice=False, zero=False, clamp=True),
        axis=alt.Axis(tickCount=5, titlePadding=8),
    )
    looks = {look.name: look for look in STARTS.values()}
    base = alt.Chart(alt.NamedData(name=_LINES)).encode(x=x, color=colour(looks))
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("symbol:N", title="symbol"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=PERCENT),
        alt.Tooltip("told:N", title=told_title("accuracy (%)", spread)),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    layers = [
        *(_baseline(spread) if has_dense else ()),
        base.mark_area(opacity=0.16, line=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2).encode(y=axis, strokeDash=dash(looks)),
        base.mark_point(size=64, filled=True, opacity=1).encode(y=axis, shape=shape(looks), tooltip=tooltip),
    ]
    return alt.layer(*layers, height=HEIGHT)


def told_title(what: str, spread: Spread) -> str:
    """Return the tooltip title of a mean with its spread, which says what stands after the ±."""
    return what if spread == "range" else f"{what}, ± {SPREADS[spread]}"


def _labelled(lines: pd.DataFrame, spread: Spread) -> pd.DataFrame:
    frame = lines.assign(
        removed=removed(lines["sparsity"]),
        name=lines["start"].map(words.start),
        symbol=lines["start"].map(lambda start: STARTS[start].symbol),
        told=_with_notes(lines, spread),
    )
    return frame[["name", "symbol", "removed", "mean", "low", "high", "n", "told"]]


def _with_notes(rows: pd.DataFrame, spread: Spread, unit: str = "") -> list[str]:
    notes = rows["note"] if "note" in rows.columns else [""] * len(rows)
    texts = zip(described(rows, spread, unit=unit), notes, strict=True)
    return [f"{text}, {note}" if note else text for text, note in texts]


def _notes(points: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return for each point what to say of its measured sparsity, mostly nothing; rows: the trainings behind them."""
    found = notes(rows, keys)
    return [found.get(key, "") for key in points[list(keys)].itertuples(index=False, name=None)]


def dense_words(panel: Panel, spread: Spread) -> str:
    """Return a panel's dense baseline with its spread and n, for the line under its title."""
    if panel.dense.empty:
        return "dense baseline not finished yet"
    return f"dense baseline {_with_notes(panel.dense, spread, ' %')[0]}"


def _baseline(spread: Spread) -> list[alt.Chart]:
    base = alt.Chart(alt.NamedData(name=_DENSE)).encode(x=alt.X("left:Q"), x2=alt.X2("right:Q"))
    tooltip = [
        alt.Tooltip("told:N", title=told_title("dense accuracy (%)", spread)),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    return [
        base.mark_rect(opacity=0.16, color=NEUTRAL).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_rule(color=NEUTRAL, strokeWidth=1.5, strokeDash=list(STARTS["dense"].dash)).encode(
            y=alt.Y("mean:Q"), tooltip=tooltip
        ),
    ]


def numbers(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the numbers behind the panels, one row per point, in percent, ready for CSV.

    Columns: dataset, network, learning_rate, pruner, sparsity, start, mean, sd, n.
    """
    keys = ["dataset", "network", "learning_rate", "pruner", "sparsity", "start"]
    table = summarise(accuracy, measure, keys, "sd").drop(columns=["low", "high"])
    return table.rename(columns={"mean": f"{measure}_mean", "sd": f"{measure}_sd"})


def table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the numbers as people read them: a row per learning rate, pruner and sparsity, a column per start.

    Cells are mean ± standard deviation in percent with n, and the measured sparsity where it departs from the one that
    was asked for; an empty cell is a training that has not finished.
    """
    keys = ["learning_rate", "pruner", "sparsity"]
    points = summarise(accuracy, measure, [*keys, "start"], "sd")
    points["note"] = _notes(points, accuracy, [*keys, "start"])
    points["cell"] = _with_notes(points, "sd")
    dense = points[points["start"] == "dense"].set_index("learning_rate")["cell"]
    pruned = points[points["start"] != "dense"]
    wide = pruned.pivot(index=keys, columns="start", values="cell").reset_index()
    shown = pd.DataFrame(
        {
            "learning rate": wide["learning_rate"].map(words.number),
            "pruner": wide["pruner"].map(words.pruner),
            "sparsity": wide["sparsity"].map(words.percent),
        }
    )
    for name, look in STARTS.items():
        if name in wide.columns:
            shown[look.name] = wide[name]
    shown[STARTS["dense"].name] = wide["learning_rate"].map(dense)
    return shown.fillna("")


def dense_table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the dense baselines as people read them: mean ± standard deviation in percent with n, by learning rate."""
    points = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], "sd")
    rates = points["learning_rate"].map(words.number)
    return pd.DataFrame({"learning rate": rates, STARTS["dense"].name: _with_notes(points, "sd")})
