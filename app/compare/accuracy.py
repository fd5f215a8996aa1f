"""Accuracy of several studies side by side: panels, the legend, zoom, and the seeds behind a point."""

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
from app.compare.points import KEYS, Comparison, Panel, apart, by_studies, chosen, compare, looks, point_id, points
from app.compare.state import CompareState, results
from app.components import chart, same_masks
from app.components.save_menu import menu
from app.state import compare_queries
from app.state.cache import cached

MOST_PANELS = 12
# Entries of a legend; the tooltips name further ones.
MOST_LEGEND = 16


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw panels, legend and the seeds behind the point that is chosen."""
    controls.look(state, rows)
    comparison, charts = _charts(replace(state, point=""))
    if not comparison.panels:
        st.info(
            "No finished training is left by these filters. Choose fewer of them.", icon=":material/filter_alt_off:"
        )
        return
    _legend(comparison, state)
    _zoom_line(state)

    def cell(index: int) -> None:
        chart.caption(charts[index].caption)
        _show(index, charts[index], state)
        menu(charts[index], f"compare-panel-{index}")

    shown = len(charts)
    chart.grid(shown, min(shown, chart.columns(shown)), cell)
    if len(comparison.panels) > shown:
        st.caption(f"The first {shown} of {len(comparison.panels)} panels; choose fewer by the filters to see others.")
    if alike := same_masks.sentences(chosen(rows, state)):
        st.caption(words.plain(" ".join(alike)))
    seeds.show(state, _forget)


def _legend(comparison: Comparison, state: CompareState) -> None:
    names = list(comparison.colours.values())
    has_dense = any(len(panel.dense) for panel in comparison.panels)
    if has_dense and STARTS["dense"].name not in comparison.colours:
        names.append(STARTS["dense"])
    plain = [
        replace(look, shape="stroke", dash=()) if comparison.rests and look.name != STARTS["dense"].name else look
        for look in names
    ]
    if has_dense and state.by not in ("start", "pruner"):
        plain[-1] = replace(STARTS["dense"], name="dense, in the colour of its line")
    chart.legend_row(plain, band_words(state.spread))
    rests = list(comparison.rests.values())
    if rests:
        more = len(rests) - MOST_LEGEND
        chart.legend_row(rests[:MOST_LEGEND], "", f"and {more} more, named by the tooltips" if more > 0 else "")
    if len(rests) * max(1, len(comparison.colours)) > 24:
        st.caption("Many lines share a panel: the filters above, or panels by another field, tell them apart better.")


def _zoom_line(state: CompareState) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="compare_zoom", height=40, border=False):
        if state.zoom is None:
            st.caption("Drag over a chart to zoom all panels; click a point to see its seeds.")
        else:
            st.button("Whole axes", icon=":material/zoom_out_map:", key="compare_whole", on_click=_whole)
            st.caption("Zoomed: drag to zoom further, double-click for the whole axes.")


def _whole() -> None:
    controls.put("zoom", None)


def _show(index: int, panel: Chart, state: CompareState) -> None:
    # A chart remembers its selection for as long as its key stays: another zoom needs another key, and so does a panel
    # whose point is no longer the one that was clicked last.
    turns: dict[int, int] = st.session_state.setdefault("compare_turns", {})
    spec = panel.spec
    zoomed = "" if state.zoom is None else point_id(state.zoom)
    key = f"compare-panel-{index}-chart-{zoomed}-{turns.get(index, 0)}"
    first = st.session_state.setdefault("compare_first", {}).setdefault(key, state.point)
    if first:
        # The ring around the point that the address names.
        params = [{**param, "value": [{"id": first}]} if param["name"] == POINT else param for param in spec["params"]]
        spec = {**spec, "params": params}

    def take() -> None:
        _taken(index, st.session_state[key].get("selection", {}))

    with st.container(key=f"compare-panel-{index}"):
        st.vega_lite_chart(spec, width="stretch", key=key, alt=panel.alt, on_select=take)


def _taken(index: int, selection: dict[str, Any]) -> None:
    """Change the state by the selection in a panel."""
    state = controls.now()
    brush = selection.get(BRUSH) or {}
    if len(brush) == 2:
        (left, right), (bottom, top) = (sorted(map(float, brush[name])) for name in ("x", "mean"))
        if right > left and top > bottom:
            controls.put("zoom", tuple(float(f"{edge:.4g}") for edge in (left, right, bottom, top)))
            return
    if state.zoom is not None and WHOLE in selection and not selection[WHOLE]:
        _whole()
        return
    picked = [point["id"] for point in selection.get(POINT) or [] if point.get("id")]
    if picked and picked[-1] != state.point:
        controls.put("point", str(picked[-1]))
        last = st.session_state.get("compare_last")
        if last is not None and last != index:
            _turn(last)
        st.session_state["compare_last"] = index


def _turn(index: int) -> None:
    """Give a panel another key, so that nothing is selected in it."""
    turns = st.session_state.setdefault("compare_turns", {})
    turns[index] = turns.get(index, 0) + 1


def _forget() -> None:
    """Choose no point."""
    controls.put("point", "")
    for index in range(MOST_PANELS):
        _turn(index)


@cached(results, max_entries=64, shared=True)
def _charts(state: CompareState) -> tuple[Comparison, list[Chart]]:
    found = _points(state.studies, by_studies(state), state.measure, state.spread)
    comparison = compare(chosen(found, state), looks(state.by, found), state.panels, state.by, state.spread)
    x, y = panel_chart.domains(comparison, state.axis)
    if state.zoom is not None:
        x, y = state.zoom[:2], state.zoom[2:]
    # Panels differ in nothing but their rows: building each anew would be felt.
    shared = vega.spec(
        panel_chart.draw(comparison, state.measure, state.spread, state.axis, x, y, state.zoom is not None)
    )
    charts = []
    for panel in comparison.panels[:MOST_PANELS]:
        rows = panel_chart.rows(panel, comparison, state.axis, x)
        datasets = {name: vega.values(frame)["values"] for name, frame in rows.items()}
        charts.append(_chart(state, panel, comparison, found, {**shared, "datasets": datasets}))
    return comparison, charts


def _chart(state: CompareState, panel: Panel, comparison: Comparison, found: pd.DataFrame, spec: Spec) -> Chart:
    """Return the chart of one panel; found: the points of all panels."""
    ids = {*panel.lines["id"], *panel.dense["id"]}

    def numbers() -> pd.DataFrame:
        rows = found[found["id"].isin(ids)][[*KEYS, "mean", "sd", "low", "high", "n"]]
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
    return points(apart(compare_queries.accuracy(ids), studies), measure, spread)
