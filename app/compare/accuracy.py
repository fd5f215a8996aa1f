"""The Accuracy view of a comparison: panels, their legend, zoom, and the seeds of a point."""

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.charts import vega
from app.charts.accuracy import MEASURES, Measure
from app.charts.chart import Chart, file_name
from app.charts.palette import STARTS
from app.charts.picture import Legend
from app.charts.points import SPREADS, Spread, band_words
from app.charts.vega import Spec
from app.compare import controls, panel_chart, seeds
from app.compare.panel_chart import BRUSH, POINT, WHOLE
from app.compare.points import (
    KEYS,
    Comparison,
    ComparisonPanel,
    by_studies,
    comparable,
    compare,
    filtered,
    looks,
    point_id,
    points,
)
from app.compare.state import CompareState, results
from app.components import chart, same_masks
from app.state import compare_queries
from app.state.cache import cached

MOST_PANELS = 12
# A legend has at most this many entries; tooltips name the rest.
MOST_LEGEND = 16


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the panels, their legend and the seeds of the point that the reader chose."""
    controls.look(state, rows)
    comparison, charts = _charts(replace(state, point=""))
    if not comparison.panels:
        st.info("No finished training passes these filters. Remove some of them.", icon=":material/filter_alt_off:")
        return
    _legend(comparison, state)
    _zoom_line(state)

    def cell(index: int) -> None:
        chart.head(charts[index], f"compare-panel-{index}")
        _show(index, charts[index], state)

    chart.grid(len(charts), min(len(charts), chart.columns(len(charts))), cell)
    chart.count_line(len(charts), len(comparison.panels))
    if alike := same_masks.sentences(filtered(rows, state)):
        st.caption(words.plain(" ".join(alike)))
    seeds.show(state, _forget)


def _legend(comparison: Comparison, state: CompareState) -> None:
    colours = list(comparison.colours.values())
    has_dense = any(len(panel.dense) for panel in comparison.panels)
    if has_dense and STARTS["dense"].name not in comparison.colours:
        colours.append(STARTS["dense"])
    entries = [
        replace(look, shape="stroke", dash=()) if comparison.rests and look.name != STARTS["dense"].name else look
        for look in colours
    ]
    if has_dense and state.by not in ("start", "pruner"):
        entries[-1] = replace(STARTS["dense"], name="dense, in the colour of its line")
    chart.legend_row(entries, band_words(state.spread))
    rests = list(comparison.rests.values())
    if rests:
        more = len(rests) - MOST_LEGEND
        chart.legend_row(rests[:MOST_LEGEND], "", f"and {more} more, which the tooltips name" if more > 0 else "")
    if len(rests) * max(1, len(comparison.colours)) > 24:
        st.caption("Many lines share a panel. To tell them apart, use the filters above or panels by another field.")


def _zoom_line(state: CompareState) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="compare_zoom", height=40, border=False):
        if state.zoom is None:
            st.caption("Drag over a chart to zoom all panels; click a point to see its seeds.")
        else:
            st.button("Whole axes", icon=":material/zoom_out_map:", key="compare_whole", on_click=_unzoom)
            st.caption("Zoomed: drag to zoom further, double-click for the whole axes.")


def _unzoom() -> None:
    controls.set_field("zoom", None)


def _show(index: int, panel: Chart, state: CompareState) -> None:
    # A chart remembers its selection while its key stays the same, so a new zoom needs a new key, and so does a panel
    # after a click on a point of another panel.
    versions: dict[int, int] = st.session_state.setdefault("compare_turns", {})
    spec = panel.spec
    zoomed = "" if state.zoom is None else point_id(state.zoom)
    key = f"compare-panel-{index}-chart-{zoomed}-{versions.get(index, 0)}"
    ringed = st.session_state.setdefault("compare_first", {}).setdefault(key, state.point)
    if ringed:
        # The point that the address names gets a ring.
        params = [{**param, "value": [{"id": ringed}]} if param["name"] == POINT else param for param in spec["params"]]
        spec = {**spec, "params": params}

    def select() -> None:
        _select(index, st.session_state[key].get("selection", {}))

    with st.container(key=f"compare-panel-{index}"):
        st.vega_lite_chart(spec, width="stretch", key=key, alt=panel.alt, on_select=select)


def _select(index: int, selection: dict[str, Any]) -> None:
    """Change the state as the reader's selection in a panel asks."""
    state = controls.current()
    brush = selection.get(BRUSH) or {}
    if len(brush) == 2:
        (left, right), (bottom, top) = (sorted(map(float, brush[name])) for name in ("x", "mean"))
        if right > left and top > bottom:
            controls.set_field("zoom", tuple(float(f"{edge:.4g}") for edge in (left, right, bottom, top)))
            return
    if state.zoom is not None and WHOLE in selection and not selection[WHOLE]:
        _unzoom()
        return
    ids = [point["id"] for point in selection.get(POINT) or [] if point.get("id")]
    if ids and ids[-1] != state.point:
        controls.set_field("point", str(ids[-1]))
        last = st.session_state.get("compare_last")
        if last is not None and last != index:
            _deselect(last)
        st.session_state["compare_last"] = index


def _deselect(index: int) -> None:
    """Give a panel another key, so that nothing is selected in it."""
    versions = st.session_state.setdefault("compare_turns", {})
    versions[index] = versions.get(index, 0) + 1


def _forget() -> None:
    """Close the list of seeds and select no point."""
    controls.set_field("point", "")
    for index in range(MOST_PANELS):
        _deselect(index)


@cached(results, max_entries=64, shared=True)
def _charts(state: CompareState) -> tuple[Comparison, list[Chart]]:
    table = _points(state.studies, by_studies(state), state.measure, state.spread)
    comparison = compare(filtered(table, state), looks(state.by, table), state.panels, state.by, state.spread)
    x, y = panel_chart.domains(comparison, state.axis)
    if state.zoom is not None:
        x, y = state.zoom[:2], state.zoom[2:]
    # Panels differ only in their rows, and building each of them would be slow.
    shared = vega.spec(
        panel_chart.draw(comparison, state.measure, state.spread, state.axis, x, y, state.zoom is not None)
    )
    charts = []
    for panel in comparison.panels[:MOST_PANELS]:
        rows = panel_chart.rows(panel, comparison, state.axis, x)
        datasets = {name: vega.values(frame)["values"] for name, frame in rows.items()}
        charts.append(_chart(state, panel, comparison, table, {**shared, "datasets": datasets}))
    return comparison, charts


def _chart(
    state: CompareState, panel: ComparisonPanel, comparison: Comparison, table: pd.DataFrame, spec: Spec
) -> Chart:
    """Return the chart of one panel; table: the points of all panels."""
    ids = {*panel.lines["id"], *panel.dense["id"]}

    def numbers() -> pd.DataFrame:
        rows = table[table["id"].isin(ids)][[*KEYS, "mean", "sd", "low", "high", "n"]]
        return rows.assign(measure=state.measure, band=SPREADS[state.spread])

    series = [*comparison.colours.values()]
    if len(panel.dense) and STARTS["dense"].name not in comparison.colours:
        series.append(STARTS["dense"])
    return Chart(
        name=file_name("compare", f"accuracy-{panel.title}"),
        spec=spec,
        title=f"Test accuracy ({MEASURES[state.measure]}) against sparsity, {panel.title}",
        alt=f"Test accuracy, {panel.title}; a click on a point lists its seeds below.",
        numbers=numbers,
        caption=(panel.title[0].upper() + panel.title[1:],),
        legend=Legend((*series, *comparison.rests.values()), band_words(state.spread)),
    )


@cached(compare_queries.marker, max_entries=16, shared=True)
def _points(ids: tuple[str, ...], studies: bool, measure: Measure, spread: Spread) -> pd.DataFrame:
    return points(comparable(compare_queries.accuracy(ids), studies), measure, spread)
