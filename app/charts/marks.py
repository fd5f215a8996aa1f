"""Vega-Lite scales from looks: the same series has the same colour, shape and dash in every chart, and no legend."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from app.charts.palette import Look
from engine.formatting import percent_value

# Of a number in percent: the digits that it has, and no more.
PERCENT = ".8~f"


def colour(looks: Mapping[str, Look], field: str = "name") -> alt.Color:
    """Return the colour encoding of a text column whose values are the names of looks."""
    scale = alt.Scale(domain=list(looks), range=[look.colour for look in looks.values()])
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def shape(looks: Mapping[str, Look], field: str = "name") -> alt.Shape:
    """Return the shape encoding of points, as `colour`."""
    scale = alt.Scale(domain=list(looks), range=[look.shape for look in looks.values()])
    return alt.Shape(f"{field}:N", scale=scale, legend=None)


def dash(looks: Mapping[str, Look], field: str = "name") -> alt.StrokeDash:
    """Return the dash encoding of lines, as `colour`."""
    scale = alt.Scale(domain=list(looks), range=[list(look.dash) or [1, 0] for look in looks.values()])
    return alt.StrokeDash(f"{field}:N", scale=scale, legend=None)


def removed(sparsities: pd.Series) -> pd.Series:
    """Return sparsities in percent, as the axis and the tooltips of a chart show them by the format PERCENT."""
    return sparsities.map(percent_value).astype(float)
