"""How far the weights in training overlap the initial ones, epoch by epoch: R_p(θ₀, θ_t)."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts.accuracy import Layers, told_title
from app.charts.marks import colour, dash, shape
from app.charts.overlap import CHANCE, HEIGHT, rate_looks
from app.charts.points import Spread, described, summarise

Time = Literal["linear", "log"]


def over_time(rows: pd.DataFrame, rates: Sequence[float], p: float, spread: Spread, time: Time) -> Layers:
    """Return R_p(θ₀, θ_t) against the epoch t, a line per learning rate with its band over seeds, and chance at p.

    rows: `data.queries.points.retention` rows of one dataset, network and recipe. rates: all learning rates, so
    that a colour stays with its rate. time: a logarithmic axis shows the first epochs, where most may happen.
    """
    shown = rows[rows["p"].round(4) == round(p, 4)]
    frame = summarise(shown, "ratio", ["learning_rate", "epoch"], spread)
    if time == "log":
        # A logarithm has no place for the moment before the first epoch, where the overlap is 1.
        frame = frame[frame["epoch"] > 0]
    frame["name"] = [f"learning rate {words.number(rate)}" for rate in frame["learning_rate"]]
    frame["told"] = described(frame, spread)
    looks = rate_looks(rates)
    last = float(frame["epoch"].max()) if len(frame) else 1.0
    first = float(frame["epoch"].min()) if len(frame) and time == "log" else 0.0
    ticks = sorted(frame["epoch"].unique())
    x = alt.X(
        "epoch:Q",
        title="epoch t, log scale" if time == "log" else "epoch t",
        scale=alt.Scale(type=time, domain=[first, max(last, first + 1)], nice=False),
        axis=alt.Axis(format="d", grid=False, labelOverlap="greedy", values=ticks if time == "log" else alt.Undefined),
    )
    y = alt.Y(
        "mean:Q",
        title=f"overlap ratio R_p(θ₀, θ_t), p = {p:g}",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=5, format=".1f"),
    )
    base = alt.Chart(frame[["name", "epoch", "mean", "low", "high", "n", "told"]]).encode(x=x, color=colour(looks))
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("epoch:Q", title="epoch t"),
        alt.Tooltip("told:N", title=told_title("overlap ratio", spread)),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    chance = alt.Chart(pd.DataFrame({"chance": [p]})).mark_rule(
        color=CHANCE.colour, strokeWidth=1.5, strokeDash=list(CHANCE.dash)
    )
    return alt.layer(
        chance.encode(y=alt.Y("chance:Q")),
        base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash(looks)),
        base.mark_point(size=50, filled=True, opacity=1).encode(y=y, shape=shape(looks), tooltip=tooltip),
        height=HEIGHT,
    )


def without(dense: pd.DataFrame, retained: pd.DataFrame) -> str:
    """Return in a sentence how many dense trainings were recorded without it, "" where none was.

    dense: rows of dense trainings that are done; retained: `data.queries.points.retention` rows.
    """
    missing = set(dense["fingerprint"]) - set(retained["fingerprint"])
    if not missing:
        return ""
    many = len(missing) > 1
    return (
        f"{words.plural(len(missing), 'dense training')} {'were' if many else 'was'} recorded without this, by a "
        f"version that did not measure it: {'they are' if many else 'it is'} missing here."
    )
