"""The scales, axes, bands, lines, points and tooltips that charts of means over seeds share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from app import words
from app.charts.palette import NEUTRAL, Look, ordered_series, series
from app.charts.points import SPREADS, Spread
from engine.formatting import percent_value

# `alt.layer` returns either of these.
LayeredChart = alt.LayerChart | alt.FacetChart

# This number format shows all digits of a percentage, without zeros at the end.
PERCENT = ".8~f"
SPARSITY_TITLE = "sparsity (% of prunable weights removed)"
# An axis of sparsities extends beyond its first and last value by this many percent.
SPARSITY_MARGIN = 3.0
OVERLAP_HEIGHT = 300

CHANCE = Look("chance, R_p = p", "p", NEUTRAL, "stroke", (4, 4))


def rate_name(rate: float) -> str:
    """Return the name of the series of a learning rate."""
    return f"learning rate {words.number(rate)}"


def rate_looks(rates: Sequence[float]) -> dict[str, Look]:
    """Return the look of each learning rate by its series, from the lowest; many have a scale of colours."""
    names = {rate_name(rate): math.log(rate) for rate in sorted(rates)}
    return ordered_series(names) if len(names) > words.MOST_LISTED else series(names)


def colour(looks: Mapping[str, Look], field: str = "name") -> alt.Color:
    """Return the colour encoding of a text column whose values are the names of looks."""
    scale = alt.Scale(domain=list(looks), range=[look.colour for look in looks.values()])
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def shape(looks: Mapping[str, Look], field: str = "name") -> alt.Shape:
    """Return the shape encoding of points, from a text column as in `colour`."""
    scale = alt.Scale(domain=list(looks), range=[look.shape for look in looks.values()])
    return alt.Shape(f"{field}:N", scale=scale, legend=None)


def dash(looks: Mapping[str, Look], field: str = "name") -> alt.StrokeDash:
    """Return the dash encoding of lines, from a text column as in `colour`."""
    scale = alt.Scale(domain=list(looks), range=[list(look.dash) or [1, 0] for look in looks.values()])
    return alt.StrokeDash(f"{field}:N", scale=scale, legend=None)


def removed(sparsities: pd.Series) -> pd.Series:
    """Return sparsities in percent, for axes and tooltips of the format PERCENT."""
    return sparsities.map(percent_value).astype(float)


def sparsity_span(sparsities: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis of sparsities, in percent; sparsities: in percent, from the lowest."""
    return (sparsities[0] - SPARSITY_MARGIN, sparsities[-1] + SPARSITY_MARGIN) if sparsities else (0.0, 100.0)


def sparsity_axis(
    sparsities: Sequence[float], span: tuple[float, float], digits: str = PERCENT, field: str = "removed"
) -> alt.X:
    """Return the axis of a column, with a tick for each of some sparsities, all in percent."""
    return alt.X(
        f"{field}:Q",
        title=SPARSITY_TITLE,
        scale=alt.Scale(domain=list(span), nice=False, zero=False),
        axis=alt.Axis(values=list(sparsities), format=digits, labelOverlap="greedy", grid=False),
    )


@dataclass(frozen=True)
class SparsityAxis:
    """An axis of sparsities on which points of several series may stand side by side.

    ticks: the sparsities in percent, from the lowest. by_left: spaced by the logarithm of the weights left, which
    spreads high sparsities; else by the weights removed.
    """

    ticks: tuple[float, ...]
    by_left: bool = False

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the axis: percent of the weights removed, or left."""
        if not self.by_left:
            return sparsity_span(self.ticks)
        left = [100 - tick for tick in self.ticks] or [100.0, 10.0]
        return left[0] * _LEFT_MARGIN, left[-1] / _LEFT_MARGIN

    def position(self, removed: pd.Series, sideways: pd.Series | float = 0.0) -> pd.Series:
        """Return where sparsities in percent stand on the axis; sideways: fractions of its length to move them by."""
        begin, end = self.span
        if self.by_left:
            return (100 - removed) * (end / begin) ** sideways
        return removed + (end - begin) * sideways

    def side_by_side(self, removed: pd.Series, names: pd.Series, moved: bool = True) -> pd.Series:
        """Return where the points of several series stand; moved: beside each other, where there is room."""
        if not moved or len(self.ticks) > CROWDED:
            return self.position(removed)
        order = {name: place for place, name in enumerate(dict.fromkeys(names))}
        sideways = names.map(order).astype(float) - (len(order) - 1) / 2
        return self.position(removed, min(SIDEWAYS, WIDEST / max(len(order), 1)) * sideways)

    def x(self, field: str, span: tuple[float, float] | None = None) -> alt.X:
        """Return the encoding of a column of positions, with a tick for each sparsity; span: the ends of a part."""
        span = span or self.span
        if not self.by_left:
            return sparsity_axis(self.ticks, span, field=field)
        # Rounding hides that 100 - 61.4 is not 38.6 in binary.
        label = f"format(100 - datum.value, '{PERCENT}')"
        return alt.X(
            f"{field}:Q",
            title=f"{SPARSITY_TITLE}, spaced by what is left",
            scale=alt.Scale(type="log", domain=list(span), nice=False),
            axis=alt.Axis(
                values=[100 - tick for tick in self.ticks], labelExpr=label, labelOverlap="greedy", grid=False
            ),
        )


# The points of neighbouring series are this fraction of an axis apart, and those of all series at most WIDEST.
SIDEWAYS, WIDEST = 0.011, 0.06
# Between more sparsities than this there is no room for points side by side.
CROWDED = 12


def point_size(sparsities: Sequence[float]) -> int:
    """Return the size of points on an axis of some sparsities."""
    return 64 if len(sparsities) <= CROWDED else 26


# An axis of what is left extends beyond its first and last value by this factor.
_LEFT_MARGIN = 1.12


def accuracy_axis(epoch: str, domain: tuple[float, float], title: str | None = None, **scale: Any) -> alt.Y:
    """Return the axis of the column `mean` of accuracies in percent; epoch: whose accuracies they are, in words."""
    return alt.Y(
        "mean:Q",
        title=title or f"test accuracy, {epoch} (%)",
        scale=alt.Scale(domain=list(domain), nice=False, zero=False, **scale),
        axis=alt.Axis(tickCount=5, titlePadding=8),
    )


def accuracy_domain(
    frames: Sequence[pd.DataFrame], share: float = 0.08, least: float = 0.5, limits: tuple[float, float] = (0.0, 100.0)
) -> tuple[float, float]:
    """Return the ends of an accuracy axis, in percent, that holds every mean and band of some frames of `summarise`.

    The margin at either end is a share of the span of the values, and at least `least` points, within the limits.
    """
    bands = [frame[["mean", "low", "high"]] for frame in frames if len(frame)]
    if not bands:
        return limits
    values = pd.concat(bands).stack().astype(float)
    if values.empty:
        return limits
    lowest, highest = float(values.min()), float(values.max())
    margin = max(share * (highest - lowest), least)
    return max(limits[0], lowest - margin), min(limits[1], highest + margin)


def ratio_axis(title: str) -> alt.Y:
    """Return the axis of the column `mean` of overlap ratios, from 0 to 1."""
    return alt.Y("mean:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5, format=".1f"))


def chance_line(xs: Sequence[float], ys: Sequence[float]) -> alt.Chart:
    """Return the dashed line of chance through some points."""
    line: alt.Chart = alt.Chart(pd.DataFrame({"x": xs, "y": ys})).mark_line(**_CHANCE_MARK)
    return line.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))


def chance_rule(p: float) -> alt.Chart:
    """Return the dashed line of chance at one p, across the whole chart."""
    rule: alt.Chart = alt.Chart(pd.DataFrame({"chance": [p]})).mark_rule(**_CHANCE_MARK)
    return rule.encode(y=alt.Y("chance:Q"))


_CHANCE_MARK: dict[str, Any] = {"color": CHANCE.colour, "strokeWidth": 1.5, "strokeDash": list(CHANCE.dash)}


def beyond(base: alt.Chart, foot: float, tooltip: Sequence[alt.Tooltip], values: bool = True) -> list[alt.Chart]:
    """Return marks at the foot of the axis for points whose mean lies below it; values: with their values."""
    below = base.transform_filter(f"datum.mean < {foot!r}").encode(y=alt.value("height"))
    points = below.mark_point(shape="triangle-down", size=80, filled=True, opacity=1, yOffset=-7)
    texts = below.mark_text(yOffset=-20, fontSize=11).encode(text=alt.Text("mean:Q", format=".1f"))
    return [points.encode(tooltip=list(tooltip)), *([texts] if values else [])]


def spread_title(quantity: str, spread: Spread) -> str:
    """Return the tooltip title of a mean, which names the spread that follows the ±."""
    return quantity if spread == "range" else f"{quantity}, ± {SPREADS[spread]}"


def mean_tooltip(quantity: str, spread: Spread, n: str = "seeds (n)") -> list[alt.Tooltip]:
    """Return the tooltip lines of the columns `described`, a mean with its spread in words, and `n`."""
    return [alt.Tooltip("described:N", title=spread_title(quantity, spread)), alt.Tooltip("n:Q", title=n)]


def band(base: alt.Chart, opacity: float = 0.16, **options: Any) -> alt.Chart:
    """Return the band over seeds, from the column `low` to the column `high`."""
    area: alt.Chart = base.mark_area(opacity=opacity, **options).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    return area


def mean_lines(
    base: alt.Chart,
    y: alt.Y,
    looks: Mapping[str, Look],
    tooltip: Sequence[alt.Tooltip],
    opacity: float = 0.16,
    size: int = 64,
    **options: Any,
) -> list[alt.Chart]:
    """Return the means of some series as a band over seeds of this opacity, a line, and points of this size."""
    if any(look.ordered for look in looks.values()):
        # Many bands on each other would hide the lines.
        opacity, size = opacity / 4, size // 2
    points = base.mark_point(size=size, filled=True, opacity=1, **options)
    return [
        band(base, opacity, **options),
        base.mark_line(strokeWidth=2, **options).encode(y=y, strokeDash=dash(looks)),
        points.encode(y=y, shape=shape(looks), tooltip=list(tooltip)),
    ]
