"""The forest plot of a verdict: the effect and interval of each of its comparisons."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.chart import Chart, file_name
from app.charts.palette import NEUTRAL
from engine.claims import Verdict
from engine.claims.questions import UNITS, percent

ROW, FRAME = 22, 60
COLOURS = {"holds": "#009E73", "fails": "#D55E00", "undecided": NEUTRAL, "missing": NEUTRAL}
AXIS_TITLES = {"points": "points of accuracy", "overlap": "overlap ratio", "sparsity": "% of the weights"}


def forest(verdict: Verdict, parts: Sequence[Verdict]) -> Chart:
    """Return the comparisons behind a verdict with their intervals, a row each in their order, beside their margins.

    Means over several comparisons are diamonds, grey ticks the margins of each row's rule, and the dashed line is 0.
    parts: the comparisons; where their units differ, only those with the unit of the first are drawn.
    """
    shared = verdict.scope
    unit = parts[0].unit
    decimals, _, factor = UNITS[unit]
    rows = [
        {
            "name": row_name(part, shared),
            "kind": "mean" if part.over else "one",
            **{
                name: None if value is None else factor * value
                for name, value in (("effect", part.effect), ("low", part.low), ("high", part.high))
            },
            "n": part.n,
            "level": percent(part.level),
            "outcome": part.outcome,
        }
        for part in parts
        if part.unit == unit and part.effect is not None
    ]
    frame = pd.DataFrame(rows, columns=["name", "kind", "effect", "low", "high", "n", "level", "outcome"])
    margins = pd.DataFrame(
        [
            {"name": row_name(part, shared), "margin": factor * bound}
            for part in parts
            if part.unit == unit and part.effect is not None and part.question is not None
            for bound in part.question.bounds
        ],
        columns=["name", "margin"],
    )
    order = list(dict.fromkeys(frame["name"]))
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=240, ticks=False, domain=False))
    base = alt.Chart(frame).encode(
        y=y,
        color=alt.Color("outcome:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None),
    )
    digits = f".{decimals}f"
    tooltip = [
        alt.Tooltip("name:N", title="comparison"),
        alt.Tooltip("outcome:N", title="verdict"),
        alt.Tooltip("effect:Q", title=f"effect ({AXIS_TITLES[unit]})", format=digits),
        alt.Tooltip("low:Q", title="interval from", format=digits),
        alt.Tooltip("high:Q", title="to", format=digits),
        alt.Tooltip("level:N", title="confidence"),
        alt.Tooltip("n:Q", title="seeds (n)"),
    ]
    x = alt.X("effect:Q", title=AXIS_TITLES[unit], scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=NEUTRAL, strokeDash=[4, 4]).encode(x="zero:Q")
    ticks = (
        alt.Chart(margins)
        .mark_tick(orient="vertical", thickness=2, size=ROW - 8, color=NEUTRAL, opacity=0.75)
        .encode(x="margin:Q", y=y, tooltip=[alt.Tooltip("margin:Q", title="margin of the rule", format=digits)])
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=["mean", "one"], range=["diamond", "circle"]), legend=None)
    layers = alt.layer(
        zero,
        ticks,
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), tooltip=tooltip),
        base.mark_point(size=70, filled=True, opacity=1).encode(x=x, shape=shape, tooltip=tooltip),
        height=ROW * max(len(order), 1) + FRAME,
    )
    title = f"Effects and intervals behind claim {verdict.claim}"
    return Chart(
        name=file_name("claim", verdict.claim, verdict.place),
        spec=vega.spec(layers),
        title=title,
        alt=f"{title}.",
        numbers=lambda: frame,
        about=verdict.place,
    )


def row_name(part: Verdict, shared: Mapping[str, str]) -> str:
    """Return a comparison's scope in words without the shared fields, and what the comparison is a mean over."""
    fields = [words.pruner(value) for name, value in part.scope.items() if shared.get(name) != value]
    return " · ".join([*fields, f"mean over {part.over}"] if part.over else fields) or "difference"
