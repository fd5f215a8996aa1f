"""Charts of a learning rate sweep: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import replace
from typing import Any

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.accuracy import MEASURES, Measure
from app.charts.marks import CHANCE, band, colour, dash, mean_tooltip, shape
from app.charts.palette import NEUTRAL, Look, starts
from app.charts.points import SPREADS, Spread, described, summarise
from app.charts.vega import Spec

TALL, SHORT = 240, 160
# Every panel's vertical axis is this many pixels wide, so that the panels line up.
_AXIS = 44
# A single series has this colour, which no start has; grey is for chance, zero and dense networks.
INK = "#7B61D1"
GAP = "winning ticket minus random reinit (points)"

# With a colour, these columns identify a mean: the text that tells lines of one colour apart, and the learning rate.
BY = ["rest", "learning_rate"]


def _x(rates: list[float], last: bool) -> alt.X:
    domain = [min(rates) / 1.3, max(rates) * 1.3] if rates else [0.001, 1]
    return alt.X(
        "learning_rate:Q",
        title="learning rate, log scale" if last else None,
        scale=alt.Scale(type="log", domain=domain, nice=False),
        axis=alt.Axis(values=rates, format="~g", grid=False, labelOverlap="greedy", labels=last, ticks=last),
    )


# An axis of gaps writes values with their sign, and 0 without one.
_SIGNED = "datum.value === 0 ? '0' : format(datum.value, '+.1~f')"


def _y(title: str, label: str, **scale: Any) -> alt.Y:
    return alt.Y(
        "mean:Q",
        title=title,
        scale=alt.Scale(zero=False, **scale),
        axis=alt.Axis(tickCount=4, labelExpr=label, minExtent=_AXIS, maxExtent=_AXIS, titlePadding=6),
    )


def _tooltip(several: bool, first: list[alt.Tooltip], quantity: str, spread: Spread, n: str = "seeds (n)") -> list[Any]:
    return [
        *first,
        *([alt.Tooltip("rest:N", title="training")] if several else []),
        alt.Tooltip("learning_rate:Q", title="learning rate", format="~g"),
        *mean_tooltip(quantity, spread, n),
    ]


def accuracy(rows: pd.DataFrame, rests: dict[str, Look], rates: list[float], measure: Measure, spread: Spread) -> Spec:
    """Return test accuracy by learning rate, a line per start and for the dense baseline, with bands over seeds.

    rows: accuracies of dense networks and of those of one pruner and sparsity; the column rest has keys of rests.
    """
    frame = summarise(rows, measure, ["start", *BY], spread)
    frame["described"] = described(frame, spread)
    frame["name"] = frame["start"].map(words.start)
    looks = {look.name: look for look in starts(rows["start"]).values()}
    style = (rests, "rest") if len(rests) > 1 else (looks, "name")
    base = alt.Chart(frame[["name", *BY, "mean", "low", "high", "n", "described"]]).encode(
        x=_x(rates, last=False), color=colour(looks), detail="rest:N"
    )
    y = _y(f"accuracy, {MEASURES[measure]} (%)", "datum.label")
    tooltip = _tooltip(len(rests) > 1, [alt.Tooltip("name:N", title="start")], "accuracy (%)", spread)
    layers = alt.layer(
        band(base, 0.12 if len(rests) <= words.MOST_LISTED else 0.03),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash(*style)),
        base.mark_point(size=60, filled=True, opacity=1).encode(
            y=y, shape=_points(style, looks, rests), tooltip=tooltip
        ),
        height=TALL,
    )
    return vega.spec(layers)


def _points(style: tuple[dict[str, Look], str], looks: dict[str, Look], rests: dict[str, Look]) -> alt.Shape:
    # The dense look has no point shape, but a chart of points needs one for each name.
    if len(rests) > 1:
        return shape(*style)
    return shape(
        {name: replace(look, shape="circle") if look.shape == "stroke" else look for name, look in looks.items()}
    )


def overlap(rows: pd.DataFrame, rests: dict[str, Look], rates: list[float], p: float, spread: Spread) -> Spec:
    """Return R_p(θ₀, θ_T) by learning rate with its band over seeds and the chance line at p.

    rows: ratios of the pair initial_pretrained at that p; the column rest has keys of rests.
    """
    y = _y(f"R_p(θ₀, θ_T), p = {p:g}", "format(datum.value, '.1f')", domain=[0, 1])
    chance = _rule(p, CHANCE.dash)
    return _single(rows, "ratio", rests, rates, spread, y, "overlap ratio", chance, last=False)


def gap(rows: pd.DataFrame, rests: dict[str, Look], rates: list[float]) -> Spec:
    """Return winning ticket minus random reinit by learning rate, with the 95 % interval of the mean over pairs.

    rows: `gaps` of one pruner and sparsity; the column rest has keys of rests. Seeds are paired: the two trainings of a
    seed share their mask.
    """
    y = _y("gap (points)", _SIGNED)
    return _single(rows, "gap", rests, rates, "ci", y, "gap (points)", _rule(0.0, ()), last=True, n="paired seeds (n)")


def _rule(at: float, dashes: tuple[int, ...]) -> alt.Chart:
    rule: alt.Chart = alt.Chart(pd.DataFrame({"mean": [at]})).mark_rule(
        color=NEUTRAL, strokeWidth=1.5, strokeDash=list(dashes) or [1, 0]
    )
    return rule.encode(y=alt.Y("mean:Q"))


def _single(
    rows: pd.DataFrame,
    value: str,
    rests: dict[str, Look],
    rates: list[float],
    spread: Spread,
    y: alt.Y,
    quantity: str,
    rule: alt.Chart,
    last: bool,
    n: str = "seeds (n)",
) -> Spec:
    frame = summarise(rows, value, BY, spread)
    frame["described"] = described(frame, spread)
    base = alt.Chart(frame[[*BY, "mean", "low", "high", "n", "described"]]).encode(x=_x(rates, last), detail="rest:N")
    line = base.mark_line(strokeWidth=2, color=INK)
    points = base.mark_point(size=60, filled=True, opacity=1, color=INK)
    if len(rests) > 1:
        line, points = line.encode(strokeDash=dash(rests, "rest")), points.encode(shape=shape(rests, "rest"))
    layers = alt.layer(
        rule,
        band(base, 0.14 if len(rests) <= words.MOST_LISTED else 0.03, color=INK),
        line.encode(y=y),
        points.encode(y=y, tooltip=_tooltip(len(rests) > 1, [], quantity, spread, n)),
        height=SHORT + (36 if last else 0),
    )
    return vega.spec(layers)


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return winning ticket minus random reinit in points of accuracy, for each seed with both.

    rows: accuracies of one pruner and sparsity, in percent. Columns: base, rest, dataset, network, learning_rate, seed,
    gap.
    """
    keys = ["base", "rest", "dataset", "network", "learning_rate", "seed"]
    both = rows[rows["start"].isin(["winning_ticket", "reinit"])]
    wide = both.pivot_table(index=[*keys, "recipe"], columns="start", values="accuracy").reset_index()
    if not {"winning_ticket", "reinit"} <= set(wide.columns):
        return pd.DataFrame(columns=[*keys, "gap"])
    wide["gap"] = wide["winning_ticket"] - wide["reinit"]
    gaps: pd.DataFrame = wide.dropna(subset=["gap"])[[*keys, "gap"]].reset_index(drop=True)
    return gaps


def gap_against_overlap(
    rows: pd.DataFrame, rates: dict[str, Look], networks: dict[str, Look], p: float, height: int = 380
) -> Spec:
    """Return the gap of each seed against its R_p(θ₀, θ_T): colours tell learning rates apart, shapes networks.

    rows: have the columns gap, ratio, name (a key of rates), network (a key of networks), dataset, seed and rest. The
    solid rule marks a gap of 0, the dashed one the overlap of independent weights.
    """
    base = alt.Chart(rows[["gap", "ratio", "name", "network", "dataset", "seed", "rest"]])
    # With one network, shapes tell learning rates apart, as colours do.
    shapes = shape(networks, "network") if rows["network"].nunique() > 1 else shape(rates)
    layers = alt.layer(
        _rule(0.0, ()).encode(y=alt.Y("mean:Q")),
        alt.Chart(pd.DataFrame({"p": [p]}))
        .mark_rule(color=NEUTRAL, strokeWidth=1.5, strokeDash=list(CHANCE.dash))
        .encode(x=alt.X("p:Q")),
        base.mark_point(size=70, filled=True, opacity=0.75).encode(
            x=alt.X(
                "ratio:Q",
                title=f"overlap ratio R_p(θ₀, θ_T) of the dense network, p = {p:g}",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(tickCount=5, format=".1f"),
            ),
            y=alt.Y("gap:Q", title=GAP, axis=alt.Axis(tickCount=6, labelExpr=_SIGNED)),
            color=colour(rates),
            shape=shapes,
            tooltip=[
                alt.Tooltip("name:N", title="training"),
                alt.Tooltip("network:N", title="network"),
                alt.Tooltip("dataset:N", title="dataset"),
                alt.Tooltip("rest:N", title="of"),
                alt.Tooltip("seed:Q", title="seed"),
                alt.Tooltip("ratio:Q", title="overlap ratio", format=".3f"),
                alt.Tooltip("gap:Q", title="ticket − reinit (points)", format="+.2f"),
            ],
        ),
        height=height,
    )
    return vega.spec(layers)


BAND = f"gap: {SPREADS['ci']} of the mean over paired seeds"
