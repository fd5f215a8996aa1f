"""The difference of two studies at each point that both have: its mean, its 95 % interval and a chart."""

import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from app import words
from app.charts import marks, vega
from app.charts.palette import NEUTRAL, STARTS, starts
from app.charts.vega import Spec

# These columns identify a point of both studies.
POINT = ["dataset", "network", "learning_rate", "pruner", "start", "sparsity"]
# How a difference is computed.
PAIRED, WELCH, SAME = "paired by seed", "Welch", "the same runs"
# What a caption says of it.
EXPLAINED = (
    "Where both studies have the same seeds at a point, these are paired, since a seed gives both the same initial "
    "weights; elsewhere the means are compared (Welch's t). Intervals are 95 %, each for one point alone: of {points}, "
    "about {chance:.1f} would exclude 0 by chance if the studies did not differ."
)

HEIGHT = 260
_ROWS = "rows"


def differences(one: pd.DataFrame, other: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return a column of one study minus that of another at every point that both have.

    one, other: rows of `data.queries.points`. Columns: POINT, one and other (means), difference, low, high (ends of its
    95 % interval, missing for one seed and for the same runs), n (pairs, or seeds of either), how.
    """
    mine, theirs = (_by_point(rows, value) for rows in (one, other))
    rows = [(*point, *_difference(mine[point], theirs[point])) for point in mine if point in theirs]
    columns = [*POINT, "one", "other", "difference", "low", "high", "n", "how"]
    return pd.DataFrame(rows, columns=columns)


def _by_point(rows: pd.DataFrame, value: str) -> dict[tuple[object, ...], dict[int, tuple[float, str]]]:
    """Return value and fingerprint of each seed of each point."""
    points: dict[tuple[object, ...], dict[int, tuple[float, str]]] = {}
    rows = rows.dropna(subset=[value]).assign(pruner=rows["pruner"].fillna(""), sparsity=rows["sparsity"].round(6))
    columns = (rows[name].tolist() for name in (*POINT, "seed", value, "fingerprint"))
    for *point, seed, accuracy, fingerprint in zip(*columns, strict=True):
        points.setdefault(tuple(point), {})[seed] = (accuracy, fingerprint)
    return points


def _difference(
    one: dict[int, tuple[float, str]], other: dict[int, tuple[float, str]]
) -> tuple[float, float, float, float, float, str, str]:
    mine, theirs = (np.array([value for value, _ in runs.values()]) for runs in (one, other))
    means = float(mine.mean()), float(theirs.mean())
    if {key for _, key in one.values()} == {key for _, key in other.values()}:
        return *means, 0.0, math.nan, math.nan, str(len(one)), SAME
    if one.keys() == other.keys():
        pairs = np.array([one[seed][0] - other[seed][0] for seed in one])
        half = _half(float(pairs.var(ddof=1)) / len(pairs), len(pairs) - 1) if len(pairs) > 1 else math.nan
        return (
            *means,
            float(pairs.mean()),
            float(pairs.mean()) - half,
            float(pairs.mean()) + half,
            str(len(pairs)),
            PAIRED,
        )
    difference, half = means[0] - means[1], _welch(mine, theirs)
    return *means, difference, difference - half, difference + half, f"{len(mine)} and {len(theirs)}", WELCH


def _welch(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return half the width of the interval of the difference of two means of unequal variance."""
    if min(len(one), len(other)) < 2:
        return math.nan
    errors = [float(values.var(ddof=1)) / len(values) for values in (one, other)]
    total = sum(errors)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(error**2 / (len(values) - 1) for error, values in zip(errors, (one, other), strict=True))
    return _half(total, freedom)


def _half(variance: float, freedom: float) -> float:
    """Return half the width of a 95 % interval; variance: of the mean."""
    return float(stdtrit(freedom, 0.975)) * math.sqrt(variance)


def draw(rows: pd.DataFrame, title: str, by_left: bool, y: tuple[float, float]) -> Spec:
    """Return the differences of one panel by sparsity, a series per start with the intervals as bars.

    rows: of `differences` with one dataset, network, learning rate and pruner. title: what is subtracted from what. y:
    the ends of the vertical axis.
    """
    removed = marks.removed(rows["sparsity"])
    axis = marks.SparsityAxis(tuple(sorted(set(removed))), by_left)
    frame = pd.DataFrame(
        {
            "name": rows["start"].map(words.start),
            "removed": removed,
            "mean": rows["difference"],
            "low": rows["low"],
            "high": rows["high"],
            "described": in_words(rows),
            "n": rows["n"],
            "how": rows["how"],
        }
    )
    frame["at"] = axis.side_by_side(removed, frame["name"])
    return vega.filled(_panel, (axis, title, y, tuple(starts(rows["start"]))), {_ROWS: frame})


def _panel(axis: marks.SparsityAxis, title: str, y: tuple[float, float], named: tuple[str, ...]) -> marks.LayeredChart:
    looks = {STARTS[name].name: STARTS[name] for name in named}
    base = alt.Chart(alt.NamedData(name=_ROWS)).encode(x=axis.x("at"), color=marks.colour(looks))
    tooltip = [
        alt.Tooltip("name:N", title="start"),
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        alt.Tooltip("described:N", title="difference (points), 95 % interval"),
        alt.Tooltip("n:N", title="seeds (n)"),
        alt.Tooltip("how:N", title="by"),
    ]
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=NEUTRAL, strokeDash=[4, 4]).encode(y="zero:Q")
    mean = alt.Y(
        "mean:Q", title=title, scale=alt.Scale(domain=list(y), nice=False, zero=False), axis=alt.Axis(tickCount=5)
    )
    return alt.layer(
        zero,
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), tooltip=tooltip),
        base.mark_point(size=marks.point_size(axis.ticks), filled=True, opacity=1).encode(
            y=mean, shape=marks.shape(looks), tooltip=tooltip
        ),
        height=HEIGHT,
    )


def in_words(rows: pd.DataFrame) -> list[str]:
    """Return each difference with its interval in words."""
    values: Sequence[tuple[float, float, float]] = list(
        rows[["difference", "low", "high"]].itertuples(index=False, name=None)
    )
    return [
        words.minus(f"{mean:+.2f}" + ("" if low != low else f", {low:+.2f} to {high:+.2f}"))
        for mean, low, high in values
    ]


def domain(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of an axis that holds all differences, their intervals and 0."""
    frame = rows.rename(columns={"difference": "mean"})[["mean", "low", "high"]]
    zero = pd.DataFrame({"mean": [0.0], "low": [math.nan], "high": [math.nan]})
    return marks.accuracy_domain([frame, zero], limits=(-100.0, 100.0))
