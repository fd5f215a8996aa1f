"""How far weights overlap the initial ones: after training, R_p(θ₀, θ_T) by p, and during it, R_p(θ₀, θ_t) by epoch."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.chart import Chart, Subject
from app.charts.marks import (
    CHANCE,
    OVERLAP_HEIGHT,
    chance_line,
    chance_rule,
    colour,
    mean_lines,
    mean_tooltip,
    rate_looks,
    rate_name,
    ratio_axis,
)
from app.charts.picture import Legend
from app.charts.points import Spread, band_words, described, summarise
from app.charts.vega import Spec

Time = Literal["linear", "log"]


def legend(rates: Sequence[float], spread: Spread) -> Legend:
    """Return the legend of both charts; rates: as they take them."""
    return Legend((*rate_looks(rates).values(), CHANCE), band_words(spread))


def by_p(subject: Subject, pooled: pd.DataFrame, rates: Sequence[float], spread: Spread) -> Chart:
    """Return the chart of the overlap of initial and trained weights by p; arguments as of `draw_by_p`."""

    def numbers() -> pd.DataFrame:
        means = summarise(_dense(pooled), "ratio", ["learning_rate", "p"], spread)
        return subject.numbers(means.assign(chance=means["p"]), spread)

    return Chart(
        name=subject.file_name("overlap"),
        spec=draw_by_p(pooled, rates, spread),
        title="Overlap of the dense network's weights before and after training",
        alt="Overlap of initial and trained weights against p, by learning rate.",
        numbers=numbers,
        about=subject.about(),
        legend=legend(rates, spread),
    )


def draw_by_p(pooled: pd.DataFrame, rates: Sequence[float], spread: Spread) -> Spec:
    """Return R_p(θ₀, θ_T) against p, a line per learning rate with its band over seeds, and the chance line R_p = p.

    pooled: `data.queries.points.pooled_overlaps` rows of one dataset and network. rates: all learning rates of the
    study, so that a colour stays with its rate while results come in.
    """
    frame = summarise(_dense(pooled), "ratio", ["learning_rate", "p"], spread)
    frame["described"] = described(frame, spread)
    frame["name"] = frame["learning_rate"].map(rate_name)
    looks = rate_looks(rates)
    furthest = min(1.0, float(frame["p"].max()) + 0.03) if len(frame) else 1.0
    base = alt.Chart(frame[["name", "p", "mean", "low", "high", "n", "described"]]).encode(
        x=alt.X(
            "p:Q",
            title="p (fraction of largest weights compared)",
            scale=alt.Scale(domain=[0, furthest], nice=False),
            axis=alt.Axis(values=sorted(frame["p"].unique()), format=".2~f", grid=False, labelOverlap="greedy"),
        ),
        color=colour(looks),
    )
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("p:Q", title="p (chance)", format=".2f"),
        *mean_tooltip("overlap ratio", spread),
    ]
    return vega.spec(
        alt.layer(
            chance_line([0.0, furthest], [0.0, furthest]),
            *mean_lines(base, ratio_axis("overlap ratio R_p(θ₀, θ_T)"), looks, tooltip),
            height=OVERLAP_HEIGHT,
        )
    )


def _dense(pooled: pd.DataFrame) -> pd.DataFrame:
    return pooled[pooled["pair"] == "initial_pretrained"]


def over_time(
    subject: Subject, rows: pd.DataFrame, rates: Sequence[float], p: float, spread: Spread, time: Time
) -> Chart:
    """Return the chart of the overlap with the initial weights by epoch; arguments as of `draw_over_time`."""

    def numbers() -> pd.DataFrame:
        means = summarise(_at(rows, p), "ratio", ["learning_rate", "epoch"], spread)
        return subject.numbers(means.assign(chance=p), spread, p=p)

    title = "Overlap of initial weights and those in training, by epoch"
    return Chart(
        name=subject.file_name("overlap-time", f"p{p:g}"),
        spec=draw_over_time(rows, rates, p, spread, time),
        title=title,
        alt=f"{title}.",
        numbers=numbers,
        about=subject.about(f"p = {p:g}"),
        legend=legend(rates, spread),
    )


def draw_over_time(rows: pd.DataFrame, rates: Sequence[float], p: float, spread: Spread, time: Time) -> Spec:
    """Return R_p(θ₀, θ_t) against the epoch t, a line per learning rate with its band over seeds, and chance at p.

    rows: `data.queries.points.retention` rows of one dataset, network and recipe. rates: all learning rates, so
    that a colour stays with its rate. time: a logarithmic axis shows the first epochs, where most may happen.
    """
    frame = summarise(_at(rows, p), "ratio", ["learning_rate", "epoch"], spread)
    if time == "log":
        # A logarithm has no place for the moment before the first epoch, where the overlap is 1.
        frame = frame[frame["epoch"] > 0]
    frame["name"] = frame["learning_rate"].map(rate_name)
    frame["described"] = described(frame, spread)
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
    base = alt.Chart(frame[["name", "epoch", "mean", "low", "high", "n", "described"]]).encode(x=x, color=colour(looks))
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("epoch:Q", title="epoch t"),
        *mean_tooltip("overlap ratio", spread),
    ]
    y = ratio_axis(f"overlap ratio R_p(θ₀, θ_t), p = {p:g}")
    return vega.spec(alt.layer(chance_rule(p), *mean_lines(base, y, looks, tooltip, size=50), height=OVERLAP_HEIGHT))


def _at(rows: pd.DataFrame, p: float) -> pd.DataFrame:
    return rows[rows["p"].round(4) == round(p, 4)]


def table(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) at one p by learning rate as people read it: mean ± standard deviation, n, chance."""
    points = summarise(_at(_dense(pooled), p), "ratio", ["learning_rate"], "sd")
    rates = points["learning_rate"].map(words.number)
    return pd.DataFrame({"learning rate": rates, "overlap ratio": described(points, "sd"), "chance": f"{p:.2f}"})


def unmeasured(dense: pd.DataFrame, retained: pd.DataFrame) -> str:
    """Return in a sentence how many dense trainings were recorded without it, empty where none was.

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
