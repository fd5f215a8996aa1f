"""Charts of the overlap of trained with initial weights: R_p(θ₀, θ_T) by p, and R_p(θ₀, θ_t) by epoch."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import pandas as pd

from app import words
from app.charts import marks, vega
from app.charts.chart import Chart, Subject
from app.charts.picture import Legend
from app.charts.points import Spread, at_p, band_words, described, mean_columns, summarise
from app.charts.vega import Spec

Time = Literal["linear", "log"]


def legend(rates: Sequence[float], spread: Spread) -> Legend:
    """Return the legend of both charts; rates: all learning rates of the study."""
    return Legend((*marks.rate_looks(rates).values(), marks.CHANCE), band_words(spread))


def by_p(subject: Subject, pooled: pd.DataFrame, rates: Sequence[float], spread: Spread) -> Chart:
    """Return the chart of the overlap of initial and trained weights by p; arguments as in `draw_by_p`."""

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
    study, so that each keeps its colour while results come in.
    """
    frame = summarise(_dense(pooled), "ratio", ["learning_rate", "p"], spread)
    frame["described"] = described(frame, spread)
    frame["name"] = frame["learning_rate"].map(marks.rate_name)
    looks = marks.rate_looks(rates)
    furthest = min(1.0, float(frame["p"].max()) + 0.03) if len(frame) else 1.0
    base = alt.Chart(frame[["name", "p", "mean", "low", "high", "n", "described"]]).encode(
        x=alt.X(
            "p:Q",
            title="p (fraction of largest weights compared)",
            scale=alt.Scale(domain=[0, furthest], nice=False),
            axis=alt.Axis(values=sorted(frame["p"].unique()), format=".2~f", grid=False, labelOverlap="greedy"),
        ),
        color=marks.colour(looks),
    )
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("p:Q", title="p (chance)", format=".2f"),
        *marks.mean_tooltip("overlap ratio", spread),
    ]
    return vega.spec(
        alt.layer(
            marks.chance_line([0.0, furthest], [0.0, furthest]),
            *marks.mean_lines(base, marks.ratio_axis("overlap ratio R_p(θ₀, θ_T)"), looks, tooltip),
            height=marks.OVERLAP_HEIGHT,
        )
    )


def _dense(pooled: pd.DataFrame) -> pd.DataFrame:
    return pooled[pooled["pair"] == "initial_pretrained"]


def over_time(
    subject: Subject, rows: pd.DataFrame, rates: Sequence[float], p: float, spread: Spread, time: Time
) -> Chart:
    """Return the chart of the overlap with the initial weights by epoch; arguments as in `draw_over_time`."""

    def numbers() -> pd.DataFrame:
        means = summarise(at_p(rows, p), "ratio", ["learning_rate", "epoch"], spread)
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

    rows: `data.queries.points.retention` rows of one dataset, network and recipe. rates: all learning rates, so that
    each keeps its colour. time: the scale of the epochs; a logarithmic one spreads out the first epochs.
    """
    frame = summarise(at_p(rows, p), "ratio", ["learning_rate", "epoch"], spread)
    if time == "log":
        # Epoch 0, where the overlap is 1, has no place on a logarithmic axis.
        frame = frame[frame["epoch"] > 0]
    frame["name"] = frame["learning_rate"].map(marks.rate_name)
    frame["described"] = described(frame, spread)
    looks = marks.rate_looks(rates)
    last = float(frame["epoch"].max()) if len(frame) else 1.0
    first = float(frame["epoch"].min()) if len(frame) and time == "log" else 0.0
    ticks = sorted(frame["epoch"].unique())
    x = alt.X(
        "epoch:Q",
        title="epoch t, log scale" if time == "log" else "epoch t",
        scale=alt.Scale(type=time, domain=[first, max(last, first + 1)], nice=False),
        axis=alt.Axis(format="d", grid=False, labelOverlap="greedy", values=ticks if time == "log" else alt.Undefined),
    )
    base = alt.Chart(frame[["name", "epoch", "mean", "low", "high", "n", "described"]]).encode(
        x=x, color=marks.colour(looks)
    )
    tooltip = [
        alt.Tooltip("name:N", title="training"),
        alt.Tooltip("epoch:Q", title="epoch t"),
        *marks.mean_tooltip("overlap ratio", spread),
    ]
    y = marks.ratio_axis(f"overlap ratio R_p(θ₀, θ_t), p = {p:g}")
    return vega.spec(
        alt.layer(
            marks.chance_rule(p), *marks.mean_lines(base, y, looks, tooltip, size=50), height=marks.OVERLAP_HEIGHT
        )
    )


def table(pooled: pd.DataFrame, p: float) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) at one p by learning rate: mean and standard deviation, chance, and n."""
    points = summarise(at_p(_dense(pooled), p), "ratio", ["learning_rate"], "sd")
    columns = {"learning rate": points["learning_rate"], **mean_columns(points, "overlap ratio", 3)}
    return pd.DataFrame({**columns, "chance": p, "n": points["n"]})


def unmeasured(dense: pd.DataFrame, retained: pd.DataFrame) -> str:
    """Return a sentence on the dense trainings without recorded overlap by epoch; empty where there are none.

    dense: rows of finished dense trainings; retained: `data.queries.points.retention` rows.
    """
    missing = set(dense["fingerprint"]) - set(retained["fingerprint"])
    if not missing:
        return ""
    return (
        f"{words.plural(len(missing), 'dense training')} {'were' if len(missing) > 1 else 'was'} recorded without this "
        "overlap by an older version; the chart leaves out such trainings."
    )
