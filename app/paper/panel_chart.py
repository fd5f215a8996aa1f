"""The charts of panels of the paper's figures, in the paper's form."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import altair as alt
import pandas as pd

from app import words
from app.charts import accuracy, marks, vega
from app.charts.accuracy import HEIGHT, MEASURES
from app.charts.chart import Chart, file_name
from app.charts.overlap import PAIR_OF
from app.charts.palette import BAR, NEUTRAL, STARTS, Look, series
from app.charts.picture import Legend
from app.charts.points import SPREADS, Spread, at_p, band_words, described, summarise
from app.charts.vega import Spec
from engine.formatting import percent_value
from engine.paper.figures import Figure, Panel, Reported

# The colour of the paper's own numbers is legible on light and dark pages.
_STATED = "#8a6d00"


def rows_of(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Return the rows of accuracies or overlaps that a panel shows, including those of dense networks."""
    if frame.empty:
        return frame
    rows = frame[
        (frame["dataset"] == panel.dataset)
        & (frame["network"] == panel.network)
        & frame["learning_rate"].isin(panel.learning_rates)
    ]
    at_sparsity = rows["sparsity"].round(6).isin([round(s, 6) for s in panel.sparsities])
    pruned = rows["pruner"].isin(panel.pruners) & at_sparsity & rows["start"].isin(panel.trained)
    return rows[pruned | (rows["start"] == "dense")]


def share_axis(panel: Panel, other: Panel) -> bool:
    """Return whether two panels of accuracies share their axis: panels of one network and dataset do."""
    return (panel.dataset, panel.network) == (other.dataset, other.network)


def chart(
    figure: Figure, panel: Panel, rows: pd.DataFrame, caption: tuple[str, ...], spec: Spec, spread: Spread
) -> Chart:
    """Return the chart of one panel of a figure; rows: those of the panel, which `spec` draws."""
    title = f"{figure.title}, {caption[0]}"
    return Chart(
        name=file_name("paper", figure.id, panel.label, panel.network, panel.dataset),
        spec=spec,
        title=title,
        alt=f"{title}.",
        numbers=partial(numbers, rows, panel, spread),
        caption=caption,
        about=figure.about,
        legend=legend(panel, spread),
    )


def legend(panel: Panel, spread: Spread) -> Legend:
    """Return the legend of a panel."""
    return Legend(tuple(looks(panel)), band_words(spread))


def looks(panel: Panel) -> list[Look]:
    """Return the series of a panel for its legend."""
    if panel.quantity in ("retention", "start_overlap"):
        rates = panel.quantity == "retention"
        bars = marks.rate_looks(panel.learning_rates).values() if rates else [STARTS[start] for start in panel.starts]
        return [*(replace(look, shape=BAR) for look in bars), replace(marks.CHANCE, dash=())]
    return [*line_looks(panel).values(), STARTS["dense"]]


def line_looks(panel: Panel) -> dict[tuple[str, str], Look]:
    """Return the look of each pruner and start of a panel of accuracies.

    Where a panel has several pruners, colour tells pruners apart, shape and dash the starts.
    """
    if len(panel.pruners) == 1:
        return {(panel.pruners[0], start): STARTS[start] for start in panel.starts}
    colours = [look.colour for look in series(panel.pruners).values()]
    looks: dict[tuple[str, str], Look] = {}
    for pruner, shade in zip(panel.pruners, colours, strict=True):
        for start in panel.starts:
            name = f"{words.pruner(pruner).removesuffix(' magnitude')}, {words.start(start)}"
            look = STARTS[start]
            dashes = () if start == panel.starts[0] else (6, 3)
            looks[pruner, start] = Look(name, look.symbol, shade, look.shape, dashes)
    return looks


def draw_accuracy(
    rows: pd.DataFrame, panel: Panel, spread: Spread, y: tuple[float, float], stated: Sequence[Reported] = ()
) -> Spec:
    """Return test accuracy by sparsity, a line per start, or per pruner and start where a panel has several pruners.

    rows: those of the panel, in percent. y: the ends of the accuracy axis. stated: numbers of the paper to mark.
    """
    several = len(panel.pruners) > 1
    spec = vega.spec(_by_pruner(rows, panel, spread, y)) if several else _by_start(rows, panel, spread, y)
    layers = _stated(stated)
    if not layers:
        return spec
    above = vega.spec(alt.layer(*layers))
    return {
        **spec,
        "layer": [*spec["layer"], *above["layer"]],
        "datasets": {**spec["datasets"], **above["datasets"]},
    }


def domain(frames: Sequence[pd.DataFrame], spread: Spread) -> tuple[float, float]:
    """Return the ends of an accuracy axis, in percent, that holds all points and bands of some panels' rows."""
    keys = ["learning_rate", "pruner", "start", "sparsity"]
    return marks.accuracy_domain(
        [summarise(frame, "test_accuracy", keys, spread) for frame in frames if not frame.empty]
    )


def numbers(rows: pd.DataFrame, panel: Panel, spread: Spread) -> pd.DataFrame:
    """Return the numbers of a panel for CSV: a row per mean over seeds, with its band and n.

    rows: those of the panel. A dense network has sparsity 0 and no pruner. Overlaps have the column chance.
    """
    place = ["dataset", "network", "learning_rate"]
    if panel.quantity == "accuracy":
        means = summarise(rows, "test_accuracy", [*place, "pruner", "start", "sparsity"], spread)
    elif panel.quantity == "retention":
        dense = rows[rows["pair"] == "initial_pretrained"]
        means = summarise(dense, "ratio", [*place, "pair", "p"], spread)
    else:
        overlaps = at_p(rows[rows["pair"].isin([PAIR_OF[start] for start in panel.starts])], panel.ps[0])
        means = summarise(overlaps, "ratio", [*place, "pruner", "pair", "sparsity", "p"], spread)
    if "p" in means:
        means["chance"] = means["p"]
    return means.assign(low_to_high=SPREADS[spread])


def _by_start(rows: pd.DataFrame, panel: Panel, spread: Spread, y: tuple[float, float]) -> Spec:
    dense = summarise(rows[rows["start"] == "dense"], "test_accuracy", ["learning_rate"], spread)
    lines = summarise(rows[rows["start"] != "dense"], "test_accuracy", ["start", "sparsity"], spread)
    accuracy_panel = accuracy.AccuracyPanel(panel.learning_rates[0], panel.pruners[0], lines, dense)
    return accuracy.draw(accuracy_panel, accuracy.View(y, spread=spread))


def _by_pruner(rows: pd.DataFrame, panel: Panel, spread: Spread, y: tuple[float, float]) -> marks.LayeredChart:
    by_line = line_looks(panel)
    by_name = {look.name: look for look in by_line.values()}
    frame = summarise(rows[rows["start"] != "dense"], "test_accuracy", ["pruner", "start", "sparsity"], spread)
    frame["name"] = [by_line[pruner, start].name for pruner, start in zip(frame["pruner"], frame["start"], strict=True)]
    frame["removed"] = marks.removed(frame["sparsity"])
    frame["described"] = described(frame, spread)
    span = (100 * panel.sparsities[0] - marks.SPARSITY_MARGIN, 100 * panel.sparsities[-1] + marks.SPARSITY_MARGIN)
    ticks = [percent_value(sparsity) for sparsity in panel.sparsities]
    base = alt.Chart(frame[["name", "removed", "mean", "low", "high", "n", "described"]]).encode(
        x=marks.sparsity_axis(ticks, span), color=marks.colour(by_name)
    )
    y_axis = marks.accuracy_axis(MEASURES["test_accuracy"], y, clamp=True)
    tooltip = [
        alt.Tooltip("name:N", title="pruner, start"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        *marks.mean_tooltip("accuracy (%)", spread),
    ]
    dense = summarise(rows[rows["start"] == "dense"], "test_accuracy", ["learning_rate"], spread)
    rule = alt.Chart(dense[["mean"]]).mark_rule(color=NEUTRAL, strokeWidth=1.5, strokeDash=list(STARTS["dense"].dash))
    return alt.layer(
        rule.encode(y=y_axis),
        *marks.mean_lines(base, y_axis, by_name, tooltip, opacity=0.1),
        height=HEIGHT,
    )


def _stated(numbers: Sequence[Reported]) -> list[alt.Chart]:
    """Return the marks of accuracies that the paper states: diamonds, and rules for dense networks."""
    layers = []
    dense = [n for n in numbers if n.start == "dense"]
    points = [n for n in numbers if n.start != "dense"]
    tooltip = [alt.Tooltip("described:N", title="stated in the paper"), alt.Tooltip("value:Q", title="accuracy (%)")]
    if dense:
        frame = pd.DataFrame([{"value": n.value, "described": "dense"} for n in dense])
        rule = alt.Chart(frame).mark_rule(color=_STATED, strokeWidth=1.5, strokeDash=[1, 3])
        layers.append(rule.encode(y=alt.Y("value:Q"), tooltip=tooltip))
    if points:
        frame = pd.DataFrame(
            [{"value": n.value, "removed": 100 * n.sparsity, "described": words.start(n.start)} for n in points]
        )
        point = alt.Chart(frame).mark_point(shape="diamond", size=130, color=_STATED, strokeWidth=2, filled=False)
        layers.append(point.encode(x=alt.X("removed:Q"), y=alt.Y("value:Q"), tooltip=tooltip))
    return layers


def draw_retention(pooled: pd.DataFrame, panel: Panel, spread: Spread) -> Spec:
    """Return R_p(θ₀, θ_T) as bars by p, one per learning rate, with the chance level R_p = p marked over each group."""
    rows = pooled[pooled["pair"] == "initial_pretrained"]
    frame = summarise(rows, "ratio", ["learning_rate", "p"], spread)
    frame["name"] = frame["learning_rate"].map(marks.rate_name)
    frame["group"] = [f"{round(100 * p):g} %" for p in frame["p"]]
    frame["chance"] = frame["p"]
    groups = [f"{round(100 * p):g} %" for p in panel.ps]
    names = marks.rate_looks(panel.learning_rates)
    return _bars(frame, names, groups, "p (fraction of largest weights compared)", "overlap ratio R_p(θ₀, θ_T)", spread)


def draw_start_overlap(pooled: pd.DataFrame, panel: Panel, spread: Spread) -> Spec:
    """Return the overlap of each start with the fine-tuned network as bars by sparsity, the chance level p marked."""
    start_of = {PAIR_OF[start]: start for start in panel.starts}
    p = panel.ps[0]
    rows = at_p(pooled[pooled["pair"].isin(start_of)], p)
    frame = summarise(rows, "ratio", ["pair", "sparsity"], spread)
    frame["name"] = [STARTS[start_of[pair]].name for pair in frame["pair"]]
    frame["group"] = [words.percent(sparsity) for sparsity in frame["sparsity"]]
    frame["chance"] = p
    groups = [words.percent(sparsity) for sparsity in panel.sparsities]
    names = {STARTS[start].name: STARTS[start] for start in panel.starts}
    title = f"overlap ratio R_p with (θ_T⊙m)_T, p = {p:g}"
    return _bars(frame, names, groups, marks.SPARSITY_TITLE, title, spread)


def _bars(
    frame: pd.DataFrame, names: Mapping[str, Look], groups: Sequence[str], across: str, up: str, spread: Spread
) -> Spec:
    frame["described"] = described(frame, spread)
    order = list(names)
    base = alt.Chart(frame[["name", "group", "mean", "low", "high", "n", "described", "chance"]]).encode(
        x=alt.X("group:N", sort=list(groups), scale=alt.Scale(domain=list(groups)), title=across,
                axis=alt.Axis(labelAngle=0, ticks=False)),
        xOffset=alt.XOffset("name:N", sort=order, scale=alt.Scale(domain=order, paddingInner=0.1)),
    )  # fmt: skip
    ratio, n = marks.mean_tooltip("overlap ratio", spread)
    tooltip = [
        alt.Tooltip("name:N", title="series"),
        alt.Tooltip("group:N", title=across.partition(" (")[0]),
        ratio,
        alt.Tooltip("chance:Q", title="chance", format=".2f"),
        n,
    ]
    # Grey on colour is hard to see on light and dark pages alike, so each grey line has a white one below.
    lines = [
        mark
        for shade, edge in (("white", 2), (NEUTRAL, 0))
        for mark in (
            base.mark_rule(color=shade, strokeWidth=1.5 + edge).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
            base.mark_tick(color=shade, thickness=2 + edge, size=20).encode(y=alt.Y("chance:Q"), tooltip=tooltip),
        )
    ]
    bars = base.mark_bar(opacity=0.75).encode(y=marks.ratio_axis(up), color=marks.colour(names), tooltip=tooltip)
    return vega.spec(alt.layer(bars, *lines, height=HEIGHT))
