"""Charts as Vega-Lite that hold their rows, built faster than by Altair alone."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa
from altair.utils import schemapi

_NAME = "inline"

# A chart as Vega-Lite.
Spec = dict[str, Any]


def spec(chart: alt.LayerChart | alt.FacetChart) -> Spec:
    """Return a chart as Vega-Lite, which can be cached and shown again."""
    # Tests validate every kind of chart; validating again on each run would double its cost.
    return dict(chart.to_dict(validate=False))


def values(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame of numbers and texts as Vega-Lite's inline data; missing and infinite values become null.

    Frames with columns of other kinds, such as times, are left to Altair, which takes about six times as long.
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


def packed(rows: list[dict[str, Any]]) -> bytes:
    """Return Vega-Lite's inline rows as a stream of Arrow."""
    table, sink = pa.Table.from_pandas(pd.DataFrame(rows)), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def filled(draw: Callable[..., Any], arguments: tuple[Hashable, ...], rows: Mapping[str, pd.DataFrame]) -> Spec:
    """Return the chart that `draw` returns for its arguments as Vega-Lite, with rows under the names of their data.

    The chart is built once for each set of arguments: filling panels that differ only in their rows takes a tenth of
    the time of building each.
    """
    built = _built(draw, arguments)
    filled_in = {name: values(frame)["values"] for name, frame in rows.items()}
    # A chart may have rows already, such as those of its rules.
    return {**built, "datasets": {**built.get("datasets", {}), **filled_in}}


@lru_cache(maxsize=256)
def _built(draw: Callable[..., Any], arguments: tuple[Hashable, ...]) -> Spec:
    return spec(draw(*arguments))


def enable() -> None:
    """Make Altair use `values` for the rows of all charts of this process, and skip its checks of their parts.

    Those checks take a fifth of a chart's time; tests validate every kind of chart as a whole.
    """
    alt.data_transformers.register(_NAME, _transformer)
    alt.data_transformers.enable(_NAME)
    schemapi.disable_debug_mode()


@contextmanager
def enabled() -> Iterator[None]:
    """Do the same for the charts of the block alone, in a process whose other charts are somebody else's."""
    alt.data_transformers.register(_NAME, _transformer)
    with alt.data_transformers.enable(_NAME), schemapi.debug_mode(False):
        yield


def _transformer(data: Any = None) -> Any:
    return values(data) if isinstance(data, pd.DataFrame) else alt.default_data_transformer(data)
