"""One panel of a comparison: accuracy against sparsity, to click on and to zoom into."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from app.charts import marks
from app.charts.accuracy import MEASURES, Measure
from app.charts.palette import NEUTRAL, STARTS, Look
from app.charts.points import Quantity, Spread
from app.compare.points import Comparison, ComparisonPanel
from app.compare.state import FIELD_NAMES, Axis, Field

HEIGHT = 320
# The names of the selections: a click on a point, a rectangle to zoom to, and the double click that undoes zoom.
POINT, BRUSH, WHOLE = "point", "brush", "whole"
# Bands of more lines than this are fainter, or they would hide each other.
MANY = 8
# A panel's specification names its sets of rows so.
_POINTS, _LINES, _DENSE = "points", "lines", "dense"

# The value of a learning rate begins with "learning rate", so its tooltip has another title.
TITLES: dict[Field, str] = FIELD_NAMES | {"learning_rate": "training"}

Domain = tuple[float, float]


@dataclass(frozen=True)
class View:
    """How panels are drawn: see `CompareState`.

    x, y: the ends of the axes, of x in percent of the weights removed, or left where these space the axis. zoomed:
    whether to add the selection WHOLE, the double click that undoes zoom, to the selections POINT and BRUSH.
    """

    measure: Measure
    spread: Spread
    quantity: Quantity
    axis: marks.SparsityAxis
    x: Domain
    y: Domain
    zoomed: bool = False


def sparsities(comparison: Comparison, axis: Axis) -> marks.SparsityAxis:
    """Return the axis of the sparsities of all panels."""
    ticks = {value for panel in comparison.panels for value in marks.removed(panel.lines["sparsity"])}
    return marks.SparsityAxis(tuple(sorted(ticks)), axis == "remaining")


def accuracies(panels: Sequence[ComparisonPanel], quantity: Quantity, without: str | None = None) -> Domain:
    """Return the ends of an axis that holds all points and bands of some panels; without: leave out a start."""
    lines = [panel.lines for panel in panels]
    if without is not None:
        lines = [frame[frame["start"] != without] if "start" in frame else frame for frame in lines]
    if quantity == "accuracy":
        return marks.accuracy_domain([*lines, *(panel.dense for panel in panels)], share=0.06, least=0.4)
    zero = pd.DataFrame({"mean": [0.0], "low": [None], "high": [None]})
    return marks.accuracy_domain([*lines, zero], share=0.06, least=0.4, limits=(-100.0, 100.0))


def draw(comparison: Comparison, view: View) -> marks.LayeredChart:
    """Return the chart that all panels share, without rows: lines with bands over seeds, dense baselines as rules.

    `rows` returns the rows of each panel.
    """
    spread, differs = view.spread, view.quantity == "below_dense"
    xs = view.axis.x("x", view.x)
    title = f"minus dense, {MEASURES[view.measure]} (points)" if differs else None
    ys = marks.accuracy_axis(MEASURES[view.measure], view.y, title)
    style = (comparison.rests, "rest") if comparison.rests else (comparison.colours, "name")
    colours = comparison.colours | {STARTS["dense"].name: STARTS["dense"]}
    strokes = alt.Chart(alt.NamedData(name=_LINES)).encode(x=xs, color=marks.colour(colours), detail="rest:N")
    most = max((len(panel.lines[["name", "rest"]].drop_duplicates()) for panel in comparison.panels), default=0)
    tooltip = [alt.Tooltip(f"{field}:N", title=TITLES[field]) for field in comparison.fields] + [
        alt.Tooltip("removed:Q", title="sparsity (%)", format=marks.PERCENT),
        *marks.mean_tooltip("points above dense" if differs else "accuracy (%)", spread),
    ]
    points = alt.Chart(alt.NamedData(name=_POINTS)).encode(
        x=xs, y=ys, color=marks.colour(colours), shape=marks.shape(*style), tooltip=tooltip
    )
    clicked = alt.selection_point(name=POINT, fields=["id"], on="click", clear=False, toggle=False, empty=False)
    # Only a mouse draws the rectangle, since a finger scrolls the page.
    brush = alt.selection_interval(
        name=BRUSH,
        encodings=["x", "y"],
        on="[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
        translate=False,
        zoom=False,
        mark=alt.BrushConfig(fill=NEUTRAL, fillOpacity=0.15, stroke=NEUTRAL, cursor="crosshair"),
    )
    falls = any((panel.lines["mean"] < view.y[0]).any() for panel in comparison.panels)
    at_foot = alt.Chart(alt.NamedData(name=_POINTS)).encode(x=xs, color=marks.colour(colours))
    size = marks.point_size(view.axis.ticks)
    point_marks = points.mark_point(size=size, filled=True, opacity=1, clip=True, cursor="pointer").encode(
        stroke=alt.condition(clicked, alt.value(NEUTRAL), alt.value(None)),
        strokeWidth=alt.condition(clicked, alt.value(6), alt.value(0)),
        strokeOpacity=alt.value(0.6),
    )
    selections: list[alt.Parameter] = [clicked, brush]
    if view.zoomed:
        # The double click clears this selection, which Streamlit only reports if it had a value before.
        selections.append(
            alt.selection_point(name=WHOLE, fields=["zoomed"], value=[{"zoomed": 1}], on="keydown", clear="dblclick")
        )
    layers = [
        *_baselines(comparison, spread, colours),
        marks.band(strokes, 0.16 if most <= MANY else 0.05, clip=True),
        strokes.mark_line(strokeWidth=2, clip=True).encode(y=ys, strokeDash=marks.dash(*style)),
        point_marks.add_params(*selections),
        *(marks.beyond(at_foot, view.y[0], tooltip, values=not comparison.rests) if falls and not view.zoomed else ()),
    ]
    return alt.layer(*layers, height=HEIGHT)


def rows(panel: ComparisonPanel, comparison: Comparison, view: View) -> dict[str, pd.DataFrame]:
    """Return the rows of one panel by the names of the sets in `draw`."""
    removed = marks.removed(panel.lines["sparsity"])
    lines = panel.lines.assign(removed=removed)
    lines["x"] = view.axis.side_by_side(removed, lines["name"].astype(str) + lines["rest"].astype(str))
    dense = panel.dense.assign(left=view.x[0], right=view.x[1])
    if view.quantity == "below_dense":
        dense = dense.assign(mean=0.0, low=None, high=None)
    return {
        _POINTS: lines[["x", "removed", "name", "rest", "mean", "n", "described", "id", *comparison.fields]],
        # Lines and bands have no ids, so a click on one selects no point.
        _LINES: lines[["x", "name", "rest", "mean", "low", "high"]],
        _DENSE: dense[
            ["left", "right", "name", "rest", "mean", "low", "high", "n", "described", *_of_dense(comparison)]
        ],
    }


def _of_dense(comparison: Comparison) -> list[Field]:
    return [field for field in comparison.fields if field not in ("start", "pruner")]


def _baselines(comparison: Comparison, spread: Spread, colours: dict[str, Look]) -> list[alt.Chart]:
    most = max((len(panel.dense) for panel in comparison.panels), default=0)
    if not most:
        return []
    base = alt.Chart(alt.NamedData(name=_DENSE)).encode(
        x=alt.X("left:Q"), x2=alt.X2("right:Q"), color=marks.colour(colours)
    )
    tooltip = [alt.Tooltip(f"{field}:N", title=TITLES[field]) for field in _of_dense(comparison)] + marks.mean_tooltip(
        "dense accuracy (%)", spread
    )
    # With several studies, each has its own dash.
    look: dict[str, Any] = {} if comparison.dense else {"strokeDash": list(STARTS["dense"].dash)}
    rule = base.mark_rule(strokeWidth=1.5, clip=True, **look)
    if comparison.dense:
        rule = rule.encode(strokeDash=marks.dash(comparison.dense, "rest"))
    return [
        base.mark_rect(opacity=0.12 if most <= 2 else 0.05, clip=True).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        rule.encode(y=alt.Y("mean:Q"), tooltip=tooltip),
    ]
