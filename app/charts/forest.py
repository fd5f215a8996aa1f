"""Forest plots of verdicts: effects with their intervals beside the margins of their rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import altair as alt
import pandas as pd

from app import words
from app.charts import vega
from app.charts.chart import Chart, Subject, file_name
from app.charts.palette import NEUTRAL
from app.charts.vega import Spec
from engine.claims import CLAIMS, Verdict
from engine.claims.questions import UNITS, percent

ROW, FRAME = 22, 60
# Pixels that the name of a row may take.
LABEL = 420
COLOURS = {"holds": "#009E73", "fails": "#D55E00", "undecided": NEUTRAL, "missing": NEUTRAL}
AXIS_TITLES = {"points": "points of accuracy", "overlap": "overlap ratio", "sparsity": "% of the weights"}
# What a legend says of the marks.
LEGEND = (
    "Lines are intervals over seeds at the confidence of each rule, diamonds are means over several comparisons, "
    "triangles are other learning rates than the claim's, short grey strokes with a number are the margins of the "
    "rule, and the dashed line is 0."
)
# Of more verdicts than this on one claim, the plot of all claims has those at the ends of the rates and of the effects.
MOST_OF_CLAIM = 8


_SHAPES = {"mean": "diamond", "one": "circle", "other rate": "triangle-right"}


def claims_forests(subject: Subject, verdicts: Sequence[Verdict], others: Sequence[Verdict] = ()) -> list[Chart]:
    """Return the effects of a subject's verdicts on claims with their intervals: a chart for each unit.

    others: the verdicts at other learning rates, which follow those on their claims. Verdicts on controls and without a
    number are left out, and so are those of many on one claim that say least.
    """
    with_numbers: list[Verdict] = []
    for claim in CLAIMS:
        for some in (verdicts, others):
            with_numbers += telling([v for v in some if v.claim == claim and v.effect is not None and not v.control])
    named = list(zip(_claim_names(with_numbers), with_numbers, strict=True))
    charts = []
    for unit in dict.fromkeys(verdict.unit for verdict in with_numbers):
        rows = [(name, verdict) for name, verdict in named if verdict.unit == unit]
        title = f"Effects behind the verdicts, in {AXIS_TITLES[unit]}"
        frame = _frame(rows)
        numbers = partial(frame.assign, dataset=subject.dataset, network=subject.network, unit=AXIS_TITLES[unit])
        spec, name = _draw(frame, _margins(rows), unit), subject.file_name("verdicts", unit)
        charts.append(Chart(name, spec, title, _alt(title, frame), numbers, about=subject.about()))
    return charts


def telling(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return verdicts on one claim, of many those at both ends of the list and of the effects."""
    if len(verdicts) <= MOST_OF_CLAIM:
        return list(verdicts)
    by_effect = sorted(verdicts, key=lambda verdict: verdict.effect or 0.0)
    shown = [id(verdict) for verdict in (verdicts[0], verdicts[-1], by_effect[0], by_effect[-1])]
    return [verdict for verdict in verdicts if id(verdict) in shown]


def by_rate(claim: str, verdicts: Sequence[Verdict]) -> Chart:
    """Return the effects of the verdicts on one claim at several learning rates, a row each."""
    unit = verdicts[0].unit
    shared = {
        name: value
        for name, value in verdicts[0].scope.items()
        if all(verdict.scope.get(name) == value for verdict in verdicts)
    }
    rows = [(row_name(replace(verdict, over=""), shared), verdict) for verdict in verdicts if verdict.unit == unit]
    frame = _frame(rows)
    title = f"Effects behind claim {claim} by learning rate"
    return Chart(
        name=file_name("claim", claim, "by-rate", *shared.values()),
        spec=_draw(frame, _margins(rows), unit),
        title=title,
        alt=_alt(title, frame),
        numbers=lambda: frame,
        about=" · ".join(shared.values()),
    )


def forest(verdict: Verdict, parts: Sequence[Verdict]) -> Chart:
    """Return the comparisons behind a verdict with their intervals, a row each in their order, beside their margins.

    parts: the comparisons; where their units differ, only those with the unit of the first are drawn.
    """
    unit = parts[0].unit
    rows = [(row_name(part, verdict.scope), part) for part in parts if part.unit == unit and part.effect is not None]
    frame = _frame(rows)
    title = f"Effects and intervals behind claim {verdict.claim}"
    return Chart(
        name=file_name("claim", verdict.claim, verdict.place),
        spec=_draw(frame, _margins(rows), unit),
        title=title,
        alt=_alt(title, frame),
        numbers=lambda: frame,
        about=verdict.place,
    )


def row_name(part: Verdict, shared: Mapping[str, str]) -> str:
    """Return a comparison's scope in words without the shared fields, and what the comparison is a mean over."""
    fields = [words.pruner(value) for name, value in part.scope.items() if shared.get(name) != value]
    return " · ".join([*fields, f"mean over {part.over}"] if part.over else fields) or "difference"


def _claim_names(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the name of each verdict's claim, with the fields of its scope in which it differs from others on it."""
    names = []
    for verdict in verdicts:
        others = [other.scope for other in verdicts if other.claim == verdict.claim]
        asked = verdict.scope.get("asked")
        differs = [
            name
            for name, value in verdict.scope.items()
            if name != "asked" and any(scope.get(name) != value for scope in others)
        ]
        place = [words.pruner(verdict.scope[name]) for name in differs]
        names.append(" · ".join([f"{verdict.claim} {asked or CLAIMS[verdict.claim].name}", *place]))
    return names


def _frame(rows: Sequence[tuple[str, Verdict]]) -> pd.DataFrame:
    """Return rows with their names as a frame, in the numbers that readers see."""
    table = []
    for name, part in rows:
        factor = UNITS[part.unit][2]
        values = {"effect": part.effect, "low": part.low, "high": part.high}
        scaled = {key: None if value is None else factor * value for key, value in values.items()}
        kind = "other rate" if part.at_another_rate else "mean" if part.over else "one"
        level = percent(part.level)
        table.append({"name": name, "kind": kind, **scaled, "n": part.n, "level": level, "outcome": part.outcome})
    return pd.DataFrame(table, columns=["name", "kind", "effect", "low", "high", "n", "level", "outcome"])


def _margins(rows: Sequence[tuple[str, Verdict]]) -> pd.DataFrame:
    """Return the margins of rows; a margin that several rows share is labelled at the first of them."""
    table: list[dict[str, object]] = []
    labelled: set[float] = set()
    for name, part in rows:
        if part.question is None:
            continue
        for bound in part.question.bounds:
            margin = UNITS[part.unit][2] * bound
            label = "" if margin in labelled else words.minus(f"{margin:g}")
            labelled.add(margin)
            table.append({"name": name, "margin": margin, "label": label})
    return pd.DataFrame(table, columns=["name", "margin", "label"])


def _alt(title: str, frame: pd.DataFrame) -> str:
    """Return a description that says what each row shows."""
    rows = [f"{row.name} {row.effect:+.3g} ({row.outcome}, n = {row.n})" for row in frame.itertuples(index=False)]
    return words.minus(f"{title}: {'; '.join(rows)}.")


def _draw(frame: pd.DataFrame, margins: pd.DataFrame, unit: str) -> Spec:
    order = list(dict.fromkeys(frame["name"]))
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=LABEL, ticks=False, domain=False))
    base = alt.Chart(frame).encode(
        y=y,
        color=alt.Color("outcome:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None),
    )
    digits = f".{UNITS[unit][0]}f"
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
    marked = alt.Chart(margins).encode(x="margin:Q", y=y)
    ticks = marked.mark_tick(orient="vertical", thickness=2, size=ROW - 8, color=NEUTRAL, opacity=0.75).encode(
        tooltip=[alt.Tooltip("margin:Q", title="margin of the rule", format=digits)]
    )
    labels = marked.mark_text(dy=-ROW // 2, fontSize=10, color=NEUTRAL).encode(text="label:N")
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values())), legend=None)
    layers = alt.layer(
        zero,
        ticks,
        labels,
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"), tooltip=tooltip),
        base.mark_point(size=70, filled=True, opacity=1).encode(x=x, shape=shape, tooltip=tooltip),
        height=ROW * max(len(order), 1) + FRAME,
    )
    return vega.spec(layers)
