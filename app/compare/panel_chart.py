"""One panel of a comparison: accuracy against sparsity or remaining weights, to click on and to zoom into."""

import altair as alt
import pandas as pd

from app.charts import marks
from app.charts.accuracy import MEASURES, Measure
from app.charts.palette import NEUTRAL, STARTS, Look
from app.charts.points import Spread
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
AXES: dict[Axis, str] = {
    "sparsity": marks.SPARSITY_TITLE,
    "remaining": "remaining weights (%), log scale",
}

Domain = tuple[float, float]


def domains(comparison: Comparison, axis: Axis) -> tuple[Domain, Domain]:
    """Return the ends of the axes that hold all points and bands: of sparsity or remaining weights, and of accuracy."""
    frames = [frame for panel in comparison.panels for frame in (panel.lines, panel.dense)]
    xs = sorted({x for panel in comparison.panels for x in _x(panel.lines, axis)})
    return _x_domain(xs, axis), marks.accuracy_domain(frames, share=0.06, least=0.4)


def _x_domain(xs: list[float], axis: Axis) -> Domain:
    if not xs:
        return (1.0, 100.0) if axis == "remaining" else (0.0, 100.0)
    return (
        (xs[0] / 1.12, min(xs[-1] * 1.12, 110.0))
        if axis == "remaining"
        else (xs[0] - marks.SPARSITY_MARGIN, xs[-1] + marks.SPARSITY_MARGIN)
    )


def _x(lines: pd.DataFrame, axis: Axis) -> list[float]:
    fractions = lines["sparsity"] if axis == "sparsity" else 1 - lines["sparsity"]
    return [float(value) for value in marks.removed(fractions)]


def draw(
    comparison: Comparison, measure: Measure, spread: Spread, axis: Axis, x: Domain, y: Domain, zoomed: bool
) -> marks.LayeredChart:
    """Return the chart that all panels share, without rows: lines with bands over seeds, dense baselines as rules.

    x, y: the ends of the axes in percent. zoomed: whether to add the selection WHOLE, the double click that undoes
    zoom, to the selections POINT and BRUSH. `rows` returns the rows of each panel.
    """
    ticks = sorted({value for panel in comparison.panels for value in _x(panel.lines, axis)})
    xs = alt.X(
        "x:Q",
        title=AXES[axis],
        scale=alt.Scale(
            type="log" if axis == "remaining" else "linear",
            domain=list(x),
            nice=False,
            zero=False,
            reverse=axis == "remaining",
        ),
        axis=alt.Axis(values=ticks, format=marks.PERCENT, labelOverlap="greedy", grid=False),
    )
    ys = marks.accuracy_axis(MEASURES[measure], y)
    style = (comparison.rests, "rest") if comparison.rests else (comparison.colours, "name")
    colours = comparison.colours | {STARTS["dense"].name: STARTS["dense"]}
    strokes = alt.Chart(alt.NamedData(name=_LINES)).encode(x=xs, color=marks.colour(colours), detail="rest:N")
    most = max((len(panel.lines[["name", "rest"]].drop_duplicates()) for panel in comparison.panels), default=0)
    tooltip = [alt.Tooltip(f"{field}:N", title=TITLES[field]) for field in comparison.fields] + [
        alt.Tooltip(
            "x:Q", title="sparsity (%)" if axis == "sparsity" else "remaining weights (%)", format=marks.PERCENT
        ),
        *marks.mean_tooltip("accuracy (%)", spread),
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
    point_marks = points.mark_point(size=70, filled=True, opacity=1, clip=True, cursor="pointer").encode(
        stroke=alt.condition(clicked, alt.value(NEUTRAL), alt.value(None)),
        strokeWidth=alt.condition(clicked, alt.value(6), alt.value(0)),
        strokeOpacity=alt.value(0.6),
    )
    selections: list[alt.Parameter] = [clicked, brush]
    if zoomed:
        # The double click clears this selection, which Streamlit only reports if it had a value before.
        selections.append(
            alt.selection_point(name=WHOLE, fields=["zoomed"], value=[{"zoomed": 1}], on="keydown", clear="dblclick")
        )
    layers = [
        *_baselines(comparison, spread, colours),
        marks.band(strokes, 0.16 if most <= MANY else 0.05, clip=True),
        strokes.mark_line(strokeWidth=2, clip=True).encode(y=ys, strokeDash=marks.dash(*style)),
        point_marks.add_params(*selections),
    ]
    return alt.layer(*layers, height=HEIGHT)


def rows(panel: ComparisonPanel, comparison: Comparison, axis: Axis, x: Domain) -> dict[str, pd.DataFrame]:
    """Return the rows of one panel by the names of the sets in `draw`."""
    lines = panel.lines.assign(x=_x(panel.lines, axis))
    dense = panel.dense.assign(left=x[0], right=x[1])
    return {
        _POINTS: lines[["x", "name", "rest", "mean", "n", "described", "id", *comparison.fields]],
        # Lines and bands have no ids, so a click on one selects no point.
        _LINES: lines[["x", "name", "rest", "mean", "low", "high"]],
        _DENSE: dense[["left", "right", "name", "mean", "low", "high", "n", "described", *_of_dense(comparison)]],
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
    return [
        base.mark_rect(opacity=0.12 if most <= 2 else 0.05, clip=True).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_rule(strokeWidth=1.5, strokeDash=list(STARTS["dense"].dash), clip=True).encode(
            y=alt.Y("mean:Q"), tooltip=tooltip
        ),
    ]
