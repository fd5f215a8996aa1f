"""Overlap of the largest weights: dense by p, pruned by sparsity, and layer by layer."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.accuracy import Layers, told_title
from app.charts.marks import PERCENT, colour, dash, removed, shape
from app.charts.palette import NEUTRAL, STARTS, Look, series
from app.charts.points import Spread, described, summarise

HEIGHT = 300
# Pixels per layer of the heat map, and for the axis below it.
ROW, FRAME = 27, 90

# The name of the rows of a panel of starts.
_LINES = "lines"

CHANCE = Look("chance, R_p = p", "p", NEUTRAL, "stroke", (4, 4))

Across = Literal["p", "learning_rate"]

# The two starts whose overlap with the fine-tuned network figures 4-6 of the paper compare.
_COMPARED = {"ticket_finetuned": "winning_ticket", "reinit_finetuned": "reinit"}


def rate_looks(rates: Sequence[float]) -> dict[str, Look]:
    """Return how each learning rate is named and drawn, from the lowest."""
    return series(f"learning rate {words.number(rate)}" for rate in sorted(rates))


def compared_looks() -> list[Look]:
    """Return how the two starts that are compared with the fine-tuned network are named and drawn."""
    return [STARTS[start] for start in _COMPARED.values()]


def retention(pooled: pd.DataFrame, rates: Sequence[float], spread: Spread) -> Layers:
    """Return R_p(θ₀, θ_T) against p, a line per learning rate with its band over seeds, and the chance line R_p = p.

    pooled: `data.queries.points.pooled_overlaps` rows of one dataset and network. rates: all learning rates of the
    study, so that a colour stays with its rate while results come in.
    """
    rows = pooled[pooled["pair"] == "initial_pretrained"]
    frame = summarise(rows, "ratio", ["learning_rate", "p"], spread)
    frame["told"] = described(frame, spread)
    frame["name"] = [f"learning rate {words.number(rate)}" for rate in frame["learning_rate"]]
    looks = rate_looks(rates)
    furthest = min(1.0, float(frame["p"].max()) + 0.03) if len(frame) else 1.0
    base = alt.Chart(frame[["name", "p", "mean", "low", "high", "n", "told"]]).encode(
        x=alt.X(
            "p:Q",
            title="p (fraction of largest weights compared)",
            scale=alt.Scale(domain=[0, furthest], nice=False),
            axis=alt.Axis(values=sorted(frame["p"].unique()), format=".2~f", grid=False, labelOverlap="greedy"),
        ),
        color=colour(looks),
    )
    y = _ratio_axis("overlap ratio R_p(θ₀, θ_T)")
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("p:Q", title="p (chance)", format=".2f"),
        alt.Tooltip("told:N", title=told_title("overlap ratio", spread)),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    return alt.layer(
        _chance_line([0.0, furthest], [0.0, furthest]),
        base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash(looks)),
        base.mark_point(size=64, filled=True, opacity=1).encode(y=y, shape=shape(looks), tooltip=tooltip),
        height=HEIGHT,
    )


def starts(pooled: pd.DataFrame, p: float, spread: Spread) -> vega.Spec:
    """Return one panel: the overlap of winning ticket and random reinit with the fine-tuned network, by sparsity.

    pooled: rows of one dataset, network, learning rate and pruner. Ranked are the kept weights only; chance is p.
    """
    rows = pooled[pooled["pair"].isin(_COMPARED) & (pooled["p"].round(4) == round(p, 4))]
    frame = summarise(rows, "ratio", ["pair", "sparsity"], spread)
    frame["told"] = described(frame, spread)
    frame["name"] = [STARTS[_COMPARED[pair]].name for pair in frame["pair"]]
    frame["symbol"] = [STARTS[_COMPARED[pair]].symbol for pair in frame["pair"]]
    frame["removed"] = removed(frame["sparsity"])
    sparsities = tuple(sorted(frame["removed"].unique()))
    lines = frame[["name", "symbol", "removed", "mean", "low", "high", "n", "told"]]
    return vega.filled(_starts, (sparsities, p, spread), {_LINES: lines})


def _starts(sparsities: Sequence[float], p: float, spread: Spread) -> Layers:
    looks = {look.name: look for look in compared_looks()}
    span = (min(sparsities) - 3, max(sparsities) + 3) if sparsities else (0.0, 100.0)
    base = alt.Chart(alt.NamedData(name=_LINES)).encode(
        x=alt.X(
            "removed:Q",
            title="sparsity (% of prunable weights removed)",
            scale=alt.Scale(domain=list(span), nice=False, zero=False),
            axis=alt.Axis(values=list(sparsities), format=PERCENT, labelOverlap="greedy", grid=False),
        ),
        color=colour(looks),
    )
    y = _ratio_axis(f"overlap ratio R_p, p = {p:g}")
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("symbol:N", title="against (θ_T⊙m)_T"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=PERCENT),
        alt.Tooltip("told:N", title=told_title("overlap ratio", spread)),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    return alt.layer(
        _chance_line(span, [p, p]),
        base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash(looks)),
        base.mark_point(size=64, filled=True, opacity=1).encode(y=y, shape=shape(looks), tooltip=tooltip),
        height=HEIGHT,
    )


def layer_map(layers: pd.DataFrame, across: Across) -> Layers:
    """Return R_p(θ₀, θ_T) layer by layer, mean over seeds: layers in network order down, p or learning rate across.

    layers: `data.queries.points.overlaps` rows of the pair initial_pretrained, one dataset and network; of one
    learning rate when p runs across, of one p when learning rates do.
    """
    rows = layers.assign(ratio=layers["intersection"] / layers["top"].where(layers["top"] > 0))
    frame = summarise(rows, "ratio", ["position", "layer", across], "sd").dropna(subset=["mean"])
    frame["told"] = described(frame, "sd")
    frame["column"] = frame[across].map(words.number)
    sizes = rows.groupby("layer")["size"].first()
    frame["size"] = frame["layer"].map(sizes)
    columns = [words.number(value) for value in sorted(frame[across].unique())]
    order = list(frame.sort_values("position")["layer"].unique())
    base = alt.Chart(frame[["layer", "column", "mean", "n", "told", "size"]]).encode(
        x=alt.X(
            "column:O",
            sort=columns,
            title="p (fraction of largest weights compared)" if across == "p" else "learning rate",
            axis=alt.Axis(labelAngle=0, ticks=False, domain=False),
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
            alt.Tooltip("told:N", title=told_title("overlap ratio", "sd")),
            alt.Tooltip("n:Q", title="seeds (n)"),
        ],
    )
    # Cividis runs from dark to light, so the figures change over in its middle.
    figures = base.mark_text(fontSize=11).encode(
        text=alt.Text("mean:Q", format=".2f"),
        color=alt.condition("datum.mean > 0.55", alt.value("#14161c"), alt.value("#ffffff")),
    )
    return alt.layer(cells, figures, height=ROW * max(len(order), 1) + FRAME)


def retention_table(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) at one p by learning rate as people read it: mean ± standard deviation, n, chance."""
    rows = pooled[(pooled["pair"] == "initial_pretrained") & (pooled["p"].round(4) == round(p, 4))]
    points = summarise(rows, "ratio", ["learning_rate"], "sd")
    points["told"] = described(points, "sd")
    rates = points["learning_rate"].map(words.number)
    return pd.DataFrame({"learning rate": rates, "overlap ratio": points["told"], "chance": f"{p:.2f}"})


def numbers(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return every pooled overlap as mean over seeds, ready for CSV.

    Columns: dataset, network, learning_rate, pruner, sparsity, pair, p, chance, overlap_mean, overlap_sd, n, and of the
    level of the mask alone level_mean, empty for pairs without one and where it is not recorded, and level_n.
    """
    keys = ["dataset", "network", "learning_rate", "pruner", "sparsity", "pair", "p"]
    points = summarise(pooled, "ratio", keys, "sd").drop(columns=["low", "high"])
    points.insert(len(keys), "chance", points["p"])
    levels = summarise(pooled, "level", keys, "sd")
    points["level_mean"], points["level_n"] = levels["mean"], levels["n"]
    return points.rename(columns={"mean": "overlap_mean", "sd": "overlap_sd"})


def _ratio_axis(title: str) -> alt.Y:
    return alt.Y("mean:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5, format=".1f"))


def _chance_line(xs: Sequence[float], ys: Sequence[float]) -> alt.Chart:
    line: alt.Chart = alt.Chart(pd.DataFrame({"x": xs, "y": ys})).mark_line(
        color=CHANCE.colour, strokeWidth=1.5, strokeDash=list(CHANCE.dash)
    )
    return line.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
