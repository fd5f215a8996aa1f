"""Charts and tables of accuracy against sparsity: a panel per learning rate and pruner, a line per start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import marks, palette, points, vega
from app.charts.chart import Chart, Subject
from app.charts.palette import NEUTRAL, STARTS
from app.charts.picture import Legend
from app.charts.points import (
    Quantity,
    Spread,
    band_words,
    described,
    is_spread,
    mean_columns,
    notes,
    seeds_column,
    setting_columns,
    summarise,
)
from app.charts.vega import Spec

Measure = Literal["test_accuracy", "best_test_accuracy"]

# The best epoch is chosen on the test images, so its accuracy is too high: its name says so on every page.
MEASURES: dict[Measure, str] = {
    "test_accuracy": "last epoch",
    "best_test_accuracy": "best epoch on the test images",
}
HEIGHT = 360

# A panel's specification names its two sets of rows so.
_LINES, _DENSE = "lines", "dense"
_KEYS = ["learning_rate", "pruner", "start", "sparsity"]


@dataclass(frozen=True)
class View:
    """How panels are drawn.

    y: the ends of the vertical axis; points below it are marked at its foot. by_left: sparsities are spaced by the
    logarithm of the weights left. side_by_side: the points of one sparsity are moved sideways, so that none hides
    another.
    """

    y: tuple[float, float]
    measure: Measure = "test_accuracy"
    spread: Spread = "sd"
    quantity: Quantity = "accuracy"
    by_left: bool = False
    side_by_side: bool = False


@dataclass(frozen=True)
class AccuracyPanel:
    """The rows of one learning rate and pruner.

    lines: a row per start and sparsity with start, sparsity, mean, sd, low, high, n, and a note where the measured
    sparsity departs. dense: the row of the dense baseline, or no row.
    """

    learning_rate: float
    pruner: str
    lines: pd.DataFrame
    dense: pd.DataFrame

    @property
    def title(self) -> str:
        """The panel's name: its learning rate and pruner."""
        return f"learning rate {words.number(self.learning_rate)} · {words.pruner(self.pruner)}"


def panels(
    accuracy: pd.DataFrame, measure: Measure, spread: Spread, quantity: Quantity = "accuracy"
) -> list[AccuracyPanel]:
    """Return the panels of one dataset and network, by pruner, then learning rate.

    accuracy: `data.queries.points.accuracy` rows of one dataset and one network, in percent. The dense rows of panels
    are accuracies, whatever the quantity of the lines.
    """
    dense = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], spread)
    pruned = (
        points.minus_dense(accuracy, measure) if quantity == "below_dense" else accuracy[accuracy["start"] != "dense"]
    )
    lines = summarise(pruned, measure, _KEYS, spread)
    lines["note"] = _notes(lines, pruned, _KEYS)
    rates = sorted(accuracy["learning_rate"].unique())
    return [
        AccuracyPanel(
            float(rate),
            pruner,
            lines[(lines["pruner"] == pruner) & (lines["learning_rate"] == rate)],
            dense[dense["learning_rate"] == rate],
        )
        for pruner in map(str, dict.fromkeys(pruned["pruner"]))
        for rate in rates
    ]


def stretching(panels: Sequence[AccuracyPanel]) -> str | None:
    """Return the start that alone stretches the axis of some panels downwards; see `points.stretching`."""
    return points.stretching(pd.concat([panel.lines for panel in panels])) if panels else None


def domain(
    panels: Sequence[AccuracyPanel], quantity: Quantity = "accuracy", without: str | None = None
) -> tuple[float, float]:
    """Return the ends of a vertical axis that holds every mean and band of some panels; without: leave out a start."""
    lines = [panel.lines[panel.lines["start"] != without] for panel in panels]
    if quantity == "accuracy":
        return marks.accuracy_domain([*lines, *(panel.dense for panel in panels)])
    zero = pd.DataFrame({"mean": [0.0], "low": [None], "high": [None]})
    return marks.accuracy_domain([*lines, zero], limits=(-100.0, 100.0))


def first_view(panels: Sequence[AccuracyPanel]) -> View:
    """Return the view that pages and reports have at first: every start can be told from the others."""
    y = domain(panels, without=stretching(panels))
    sparsities = pd.concat([panel.lines["sparsity"] for panel in panels]) if panels else pd.Series(dtype=float)
    return View(y, by_left=is_spread(sparsities), side_by_side=True)


def chart(subject: Subject, panel: AccuracyPanel, view: View) -> Chart:
    """Return the chart of one panel."""
    rate, pruner = words.number(panel.learning_rate), words.pruner(panel.pruner)
    starts = {*panel.lines["start"], *(["dense"] if len(panel.dense) else [])}
    differs = view.quantity == "below_dense"

    def numbers() -> pd.DataFrame:
        frames = () if differs else (panel.dense.assign(start="dense", sparsity=0.0),)
        means = pd.concat([frame for frame in (*frames, panel.lines) if len(frame)])
        means = means[[*_KEYS[2:], "mean", "sd", "low", "high", "n"]]
        fields = {"learning_rate": panel.learning_rate, "pruner": panel.pruner, "measure": view.measure}
        return subject.numbers(means, view.spread, **fields, **({"minus": "dense"} if differs else {}))

    what = f"{'Pruned minus dense test' if differs else 'Test'} accuracy ({MEASURES[view.measure]})"
    return Chart(
        name=subject.file_name("accuracy", *(["below-dense"] if differs else []), f"lr{rate}", panel.pruner),
        spec=draw(panel, view),
        title=f"{what} against sparsity, learning rate {rate}",
        alt=_described(panel, what),
        numbers=numbers,
        caption=(f"{panel.title[:1].upper()}{panel.title[1:]}", dense_words(panel, view.spread)),
        about=subject.about(pruner),
        legend=Legend(tuple(palette.present(starts).values()), band_words(view.spread)),
    )


def _described(panel: AccuracyPanel, what: str) -> str:
    """Return what a panel shows for readers who cannot see it: each start at its highest sparsity."""
    last = panel.lines.sort_values("sparsity").groupby("start", sort=False).tail(1)
    ends = [
        f"{words.start(start)} {mean:.1f} at {words.percent(sparsity)}"
        for start, mean, sparsity in last[["start", "mean", "sparsity"]].itertuples(index=False)
    ]
    return words.minus(f"{what} against sparsity, {panel.title}: {', '.join(ends) or 'no pruned network yet'}.")


def draw(panel: AccuracyPanel, view: View) -> Spec:
    """Return one panel: the mean by sparsity for every start, bands over seeds, the dense baseline as a rule."""
    lines = _labelled(panel.lines, view)
    axis = marks.SparsityAxis(tuple(sorted(lines["removed"].unique())), view.by_left)
    lines["at"] = axis.side_by_side(lines["removed"], lines["name"], view.side_by_side)
    dense = panel.dense.assign(described=_with_notes(panel.dense, view.spread), left=axis.span[0], right=axis.span[1])
    if view.quantity == "below_dense":
        dense = dense.assign(mean=0.0, low=None, high=None)
    rows = {_LINES: lines, _DENSE: dense[["mean", "low", "high", "n", "described", "left", "right"]]}
    beyond = bool((lines["mean"] < view.y[0]).any())
    named = tuple(palette.starts(panel.lines["start"]))
    return vega.filled(_panel, (axis, not dense.empty, beyond, view, named), rows)


def _panel(
    axis: marks.SparsityAxis, has_dense: bool, beyond: bool, view: View, named: tuple[str, ...]
) -> marks.LayeredChart:
    looks = {STARTS[name].name: STARTS[name] for name in named}
    base = alt.Chart(alt.NamedData(name=_LINES)).encode(x=axis.x("at"), color=marks.colour(looks))
    differs = view.quantity == "below_dense"
    quantity = "points above dense" if differs else "accuracy (%)"
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("symbol:N", title="symbol"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        *marks.mean_tooltip(quantity, view.spread, "paired seeds (n)" if differs else "seeds (n)"),
    ]
    title = f"minus dense, {MEASURES[view.measure]} (points)" if differs else None
    y = marks.accuracy_axis(MEASURES[view.measure], view.y, title)
    layers = [
        *(_baseline(view.spread) if has_dense else ()),
        *marks.mean_lines(base, y, looks, tooltip, size=marks.point_size(axis.ticks), clip=True),
        *(marks.beyond(base, view.y[0], tooltip) if beyond else ()),
    ]
    return alt.layer(*layers, height=HEIGHT)


def _labelled(lines: pd.DataFrame, view: View) -> pd.DataFrame:
    frame = lines.assign(
        removed=marks.removed(lines["sparsity"]),
        name=lines["start"].map(words.start),
        symbol=lines["start"].map(lambda start: STARTS[start].symbol),
        described=_with_notes(lines, view.spread),
    )
    return frame[["name", "symbol", "removed", "mean", "low", "high", "n", "described"]]


def _with_notes(rows: pd.DataFrame, spread: Spread, unit: str = "") -> list[str]:
    remarks = rows["note"] if "note" in rows.columns else [""] * len(rows)
    texts = zip(described(rows, spread, unit=unit), remarks, strict=True)
    return [f"{text}, {note}" if note else text for text, note in texts]


def _notes(means: pd.DataFrame, rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return a note for each point whose measured sparsity departs, else an empty text; rows: of all trainings."""
    by_point = notes(rows, keys)
    return [by_point.get(key, "") for key in means[list(keys)].itertuples(index=False, name=None)]


def dense_words(panel: AccuracyPanel, spread: Spread) -> str:
    """Return a panel's dense baseline with its spread and n in words."""
    if panel.dense.empty:
        return "dense baseline not finished yet"
    return f"dense baseline {_with_notes(panel.dense, spread, ' %')[0]}"


def _baseline(spread: Spread) -> list[alt.Chart]:
    base = alt.Chart(alt.NamedData(name=_DENSE)).encode(x=alt.X("left:Q"), x2=alt.X2("right:Q"))
    return [
        base.mark_rect(opacity=0.16, color=NEUTRAL).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_rule(color=NEUTRAL, strokeWidth=1.5, strokeDash=list(STARTS["dense"].dash)).encode(
            y=alt.Y("mean:Q"), tooltip=marks.mean_tooltip("dense accuracy (%)", spread)
        ),
    ]


def numbers(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the accuracies of all points for CSV, a row per point, in percent.

    Columns: dataset, network, learning_rate, pruner, sparsity, start, mean, sd, n.
    """
    keys = ["dataset", "network", "learning_rate", "pruner", "sparsity", "start"]
    table = summarise(accuracy, measure, keys, "sd").drop(columns=["low", "high"])
    return table.rename(columns={"mean": f"{measure}_mean", "sd": f"{measure}_sd"})


def table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the accuracies in percent: a row per learning rate, pruner and sparsity, two columns per start.

    These are the mean and the standard deviation, and are missing where no training has finished. The last columns are
    n and, where a measured sparsity departs, a note.
    """
    keys = ["learning_rate", "pruner", "sparsity"]
    means = summarise(accuracy, measure, [*keys, "start"], "sd")
    dense = means[means["start"] == "dense"].drop(columns=["pruner", "sparsity"])
    pruned = means[means["start"] != "dense"]
    places = pruned[keys].drop_duplicates(ignore_index=True)
    table = setting_columns(places)
    counts = {}
    for name, look in palette.starts(pruned["start"]).items():
        if name == "dense":
            cells = places.merge(dense, on="learning_rate", how="left")
        elif name in set(pruned["start"]):
            cells = places.merge(pruned[pruned["start"] == name], on=keys, how="left")
        else:
            continue
        table = table.assign(**mean_columns(cells, look.name, 2))
        counts[name] = cells["n"]
    table["n"] = seeds_column(pd.DataFrame(counts))
    if remarks := notes(accuracy, keys):
        table["remark"] = [remarks.get(key, "") for key in places[keys].itertuples(index=False, name=None)]
    return table


def dense_table(accuracy: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return the dense baselines by learning rate: mean and standard deviation in percent, and n."""
    means = summarise(accuracy[accuracy["start"] == "dense"], measure, ["learning_rate"], "sd")
    return pd.DataFrame(
        {"learning rate": means["learning_rate"], **mean_columns(means, STARTS["dense"].name, 2), "n": means["n"]}
    )
