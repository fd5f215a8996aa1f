"""Charts as Vega-Lite with their rows inside, built faster than Altair does by itself."""

import math
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd
from altair.utils import schemapi

_NAME = "inline"

# A chart as Vega-Lite.
Spec = dict[str, Any]


def spec(chart: alt.LayerChart | alt.FacetChart) -> Spec:
    """Return a chart as Vega-Lite, which can be cached and shown again without being built and checked anew."""
    # Tests check that every kind of chart is valid; checking again on each run would double its cost.
    return dict(chart.to_dict(validate=False))


def values(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame of numbers and texts as Vega-Lite's inline data; what is missing or infinite becomes null.

    Columns of other kinds, such as times, go Altair's own way, which takes some six times as long.
    """
    plain = {bool, int, float, str, type(None)}
    columns = []
    for name in frame.columns:
        cells = frame[name].tolist()
        if not {type(cell) for cell in cells} <= plain:
            return dict(alt.utils.data.to_values(frame))
        columns.append([None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells])
    names = [str(name) for name in frame.columns]
    return {"values": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]}


def filled(draw: Callable[..., Any], arguments: tuple[Hashable, ...], rows: Mapping[str, pd.DataFrame]) -> Spec:
    """Return the chart that `draw` returns for its arguments, built once, as Vega-Lite with rows under their names.

    Panels that differ in nothing but their rows cost a tenth of what building each of them would.
    """
    built = _built(draw, arguments)
    # Rules and the like bring rows of their own.
    own = {name: values(frame)["values"] for name, frame in rows.items()}
    return {**built, "datasets": {**built.get("datasets", {}), **own}}


@lru_cache(maxsize=256)
def _built(draw: Callable[..., Any], arguments: tuple[Hashable, ...]) -> Spec:
    return spec(draw(*arguments))


def enable() -> None:
    """Let all charts of this process take their rows this way, and leave out what Altair checks of each part of one.

    Those checks are a fifth of the time that a chart takes; tests check every kind of chart whole.
    """

    def transformer(data: Any = None) -> Any:
        return values(data) if isinstance(data, pd.DataFrame) else alt.default_data_transformer(data)

    alt.data_transformers.register(_NAME, transformer)
    alt.data_transformers.enable(_NAME)
    schemapi.disable_debug_mode()
