"""The comparisons behind a verdict as a forest plot: effect and interval of each, one below the other."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from app import words
from app.charts_accuracy import Layers
from app.palette import NEUTRAL
from engine.judging import Verdict

ROW, FRAME = 22, 60
COLOURS = {"holds": "#009E73", "fails": "#D55E00", "undecided": NEUTRAL}
UNITS = {"points": "points of accuracy", "overlap": "overlap ratio", "sparsity": "sparsity"}


def forest(parts: Sequence[Verdict], shared: Mapping[str, str]) -> Layers:
    """Return effects with their intervals, a row per comparison in the order given, zero as a rule.

    parts: verdicts of one unit; where units are mixed, those of the first. shared: the scope that all have in common.
    """
    unit = parts[0].unit
    rows = [
        {
            "name": " · ".join(words.pruner(value) for name, value in part.scope.items() if shared.get(name) != value)
            or "all",
            "effect": part.effect,
            "low": part.low,
            "high": part.high,
            "n": part.n,
            "outcome": part.outcome,
        }
        for part in parts
        if part.unit == unit and part.effect is not None
    ]
    frame = pd.DataFrame(rows, columns=["name", "effect", "low", "high", "n", "outcome"])
    order = list(dict.fromkeys(frame["name"]))
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=300, ticks=False, domain=False)),
        color=alt.Color("outcome:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None),
    )
    digits = ".2f" if unit == "points" else ".3f"
    tooltip = [
        alt.Tooltip("name:N", title="comparison"),
        alt.Tooltip("outcome:N", title="verdict"),
        alt.Tooltip("effect:Q", title=f"effect ({UNITS[unit]})", format=digits),
        alt.Tooltip("low:Q", title="interval from", format=digits),
        alt.Tooltip("high:Q", title="to", format=digits),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    x = alt.X("effect:Q", title=f"difference ({UNITS[unit]})", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=NEUTRAL, strokeDash=[4, 4]).encode(x="zero:Q")
    return alt.layer(
        zero,
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), tooltip=tooltip),
        base.mark_point(size=70, filled=True, opacity=1).encode(x=x, tooltip=tooltip),
        height=ROW * max(len(order), 1) + FRAME,
    )
