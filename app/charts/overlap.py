"""Charts of the overlap ratio: of two starts with the fine-tuned network, and of dense networks layer by layer."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import marks, vega
from app.charts.chart import Chart, Subject
from app.charts.palette import STARTS
from app.charts.picture import Legend
from app.charts.points import Spread, at_p, band_words, described, summarise
from app.charts.vega import Spec

# The heat map is this many pixels high for each layer, and for the axis below it.
ROW, FRAME = 27, 90

# The cells of more columns than this have no room for numbers.
MOST_NUMBERED = 16

# A panel's specification names its rows so.
_LINES = "lines"

Across = Literal["p", "learning_rate"]

# Figures 4 to 6 of the paper compare the overlap of these starts with the fine-tuned network; values: their pairs.
PAIR_OF = {"winning_ticket": "ticket_finetuned", "reinit": "reinit_finetuned"}


def panel_title(pruner: str, rate: float) -> str:
    """Return the caption of a panel of one pruner and learning rate."""
    return f"Learning rate {words.number(rate)} · {words.pruner(pruner)}"


def starts_legend(spread: Spread) -> Legend:
    """Return the legend of the charts of `starts`."""
    return Legend((*(STARTS[start] for start in PAIR_OF), marks.CHANCE), band_words(spread))


def compared(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return the rows of pooled overlaps that compare the two starts with fine-tuned networks, at one p."""
    return at_p(pooled[pooled["pair"].isin(PAIR_OF.values())], p)


def starts(subject: Subject, pruner: str, rate: float, pooled: pd.DataFrame, p: float, spread: Spread) -> Chart:
    """Return the chart of the overlap of two starts with the fine-tuned network; arguments as in `draw_starts`."""

    def numbers() -> pd.DataFrame:
        means = summarise(compared(pooled, p), "ratio", ["pair", "sparsity"], spread)
        return subject.numbers(means.assign(chance=p), spread, learning_rate=rate, pruner=pruner, p=p)

    title = panel_title(pruner, rate)
    return Chart(
        name=subject.file_name("starts-overlap", f"lr{words.number(rate)}", pruner, f"p{p:g}"),
        spec=draw_starts(pooled, p, spread),
        title=f"Overlap of two starts with the fine-tuned network, {marks.rate_name(rate)}",
        alt=f"Overlap with the fine-tuned network against sparsity, {title}.",
        numbers=numbers,
        caption=(title,),
        about=subject.about(words.pruner(pruner), f"p = {p:g}"),
        legend=starts_legend(spread),
    )


def draw_starts(pooled: pd.DataFrame, p: float, spread: Spread) -> Spec:
    """Return one panel: the overlap of winning ticket and random reinit with the fine-tuned network, by sparsity.

    pooled: `data.queries.points.pooled_overlaps` rows of one dataset, network, learning rate and pruner. Only weights
    that the mask keeps are ranked; chance is p.
    """
    frame = summarise(compared(pooled, p), "ratio", ["pair", "sparsity"], spread)
    frame["described"] = described(frame, spread)
    looks = {pair: STARTS[start] for start, pair in PAIR_OF.items()}
    frame["name"] = [looks[pair].name for pair in frame["pair"]]
    frame["symbol"] = [looks[pair].symbol for pair in frame["pair"]]
    frame["removed"] = marks.removed(frame["sparsity"])
    sparsities = tuple(sorted(frame["removed"].unique()))
    lines = frame[["name", "symbol", "removed", "mean", "low", "high", "n", "described"]]
    return vega.filled(_starts, (sparsities, p, spread), {_LINES: lines})


def _starts(sparsities: Sequence[float], p: float, spread: Spread) -> marks.LayeredChart:
    looks = {STARTS[start].name: STARTS[start] for start in PAIR_OF}
    span = marks.sparsity_span(sparsities)
    base = alt.Chart(alt.NamedData(name=_LINES)).encode(
        x=marks.sparsity_axis(sparsities, span), color=marks.colour(looks)
    )
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("symbol:N", title="against (θ_T⊙m)_T"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        *marks.mean_tooltip("overlap ratio", spread),
    ]
    y = marks.ratio_axis(f"overlap ratio R_p, p = {p:g}")
    return alt.layer(
        marks.chance_line(span, [p, p]),
        *marks.mean_lines(base, y, looks, tooltip, size=marks.point_size(sparsities)),
        height=marks.OVERLAP_HEIGHT,
    )


def with_ratio(layers: pd.DataFrame) -> pd.DataFrame:
    """Return overlaps by layer with the column ratio, which is missing for layers without ranked weights."""
    return layers.assign(ratio=layers["intersection"] / layers["top"].where(layers["top"] > 0))


def layer_map(subject: Subject, layers: pd.DataFrame, across: Across, shared: float) -> Chart:
    """Return the heat map of overlap by layer.

    layers, across: as in `draw_layers`. shared: the p of all cells where learning rates run across, else their learning
    rate.
    """

    def numbers() -> pd.DataFrame:
        means = summarise(with_ratio(layers), "ratio", ["learning_rate", "position", "layer", "p"], "sd")
        return subject.numbers(means.assign(chance=means["p"]), "sd")

    title = f"p = {shared:g}" if across == "learning_rate" else f"Learning rate {words.number(shared)}"
    return Chart(
        name=subject.file_name("layers", title),
        spec=draw_layers(layers, across),
        title=f"Overlap of initial and trained weights layer by layer, {title[:1].lower()}{title[1:]}",
        alt=f"Overlap of initial and trained weights by layer, {title}.",
        numbers=numbers,
        caption=(title,),
        about=subject.about("mean over seeds"),
        legend=Legend(ramp=("overlap ratio 0", "1"), note="independent weights give p"),
    )


def draw_layers(layers: pd.DataFrame, across: Across) -> Spec:
    """Return R_p(θ₀, θ_T) layer by layer, mean over seeds: layers in network order down, p or learning rate across.

    layers: `data.queries.points.overlaps` rows of the pair initial_pretrained, of one dataset and network, and of one
    learning rate where p runs across, of one p where learning rates do.
    """
    rows = with_ratio(layers)
    frame = summarise(rows, "ratio", ["position", "layer", across], "sd").dropna(subset=["mean"])
    frame["described"] = described(frame, "sd")
    frame["column"] = frame[across].map(words.number)
    sizes = rows.groupby("layer")["size"].first()
    frame["size"] = frame["layer"].map(sizes)
    columns = [words.number(value) for value in sorted(frame[across].unique())]
    order = list(frame.sort_values("position")["layer"].unique())
    base = alt.Chart(frame[["layer", "column", "mean", "n", "described", "size"]]).encode(
        x=alt.X(
            "column:O",
            sort=columns,
            title="p (fraction of largest weights compared)" if across == "p" else "learning rate",
            axis=alt.Axis(labelAngle=0, labelOverlap="greedy", ticks=False, domain=False),
        ),
        y=alt.Y(
            "layer:O",
            sort=order,
            title=None,
            axis=alt.Axis(labelLimit=220, ticks=False, domain=False),
        ),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("mean:Q", scale=alt.Scale(scheme="cividis", domain=[0, 1]), legend=None),
        tooltip=[
            alt.Tooltip("layer:N", title="layer"),
            alt.Tooltip("size:Q", title="weights", format=","),
            alt.Tooltip("column:N", title="p (chance)" if across == "p" else "learning rate"),
            *marks.mean_tooltip("overlap ratio", "sd"),
        ],
    )
    # Cividis runs from dark to light: the numbers on its lighter half are dark, those on its darker half white.
    cell_numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("mean:Q", format=".2f"),
        color=alt.condition("datum.mean > 0.55", alt.value("#14161c"), alt.value("#ffffff")),
    )
    layers = [cells, cell_numbers] if len(columns) <= MOST_NUMBERED else [cells]
    return vega.spec(alt.layer(*layers, height=ROW * max(len(order), 1) + FRAME))


def numbers(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return every pooled overlap as mean over seeds, for CSV.

    Columns: dataset, network, learning_rate, pruner, sparsity, pair, p, chance, overlap_mean, overlap_sd, n, level_mean
    and level_n. level_mean, the level of the mask alone, is empty for pairs without one and where it is not recorded.
    """
    keys = ["dataset", "network", "learning_rate", "pruner", "sparsity", "pair", "p"]
    points = summarise(pooled, "ratio", keys, "sd").drop(columns=["low", "high"])
    points.insert(len(keys), "chance", points["p"])
    levels = summarise(pooled, "level", keys, "sd")
    points["level_mean"], points["level_n"] = levels["mean"], levels["n"]
    return points.rename(columns={"mean": "overlap_mean", "sd": "overlap_sd"})
