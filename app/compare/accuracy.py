"""The Accuracy view of a comparison: panels, their legend, zoom, the seeds of a point, and the numbers."""

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import TELLING, telling
from app.charts import vega
from app.charts.accuracy import MEASURES, Measure
from app.charts.chart import Chart, file_name
from app.charts.marks import rate_name
from app.charts.palette import STARTS
from app.charts.picture import Legend
from app.charts.points import QUANTITIES, SPREADS, Quantity, Spread, band_words, mean_columns, stretching
from app.charts.vega import Spec
from app.compare import controls, difference, panel_chart, seeds
from app.compare.panel_chart import BRUSH, POINT, WHOLE, View
from app.compare.points import (
    KEYS,
    Comparison,
    ComparisonPanel,
    by_studies,
    comparable,
    compare,
    filtered,
    looks,
    point_columns,
    point_id,
    points,
    values,
)
from app.compare.state import CompareState, results
from app.components import chart, same_masks
from app.state import compare_queries
from app.state.cache import cached

# Panels on a page: a browser takes about 60 ms for one.
MOST_PANELS = 6
# A legend has at most this many entries; tooltips name the rest.
MOST_LEGEND = 16


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the panels, their legend, the seeds of the chosen point, the difference of two studies and the numbers."""
    controls.look(state, rows)
    drawn = replace(state, point="", versus=(0, 1))
    comparison, charts = _charts(drawn)
    if not comparison.panels:
        st.info("No finished training passes these filters. Remove some of them.", icon=":material/filter_alt_off:")
        return
    telling_first = state.panels == "learning_rate" and len(comparison.panels) > MOST_PANELS
    controls.page(state, [panel.title for panel in comparison.panels], MOST_PANELS, TELLING if telling_first else "")
    _legend(comparison, state)
    _zoom_line(state)

    def cell(index: int) -> None:
        chart.head(charts[index], f"compare-panel-{index}")
        _show(index, charts[index], state)

    chart.grid(len(charts), min(len(charts), chart.columns(len(charts))), cell)
    if alike := same_masks.sentences(filtered(rows, state)):
        st.caption(words.plain(" ".join(alike)))
    seeds.show(state, _forget)
    difference.section(state)
    _numbers(drawn)


def _legend(comparison: Comparison, state: CompareState) -> None:
    entries = [
        replace(look, shape="stroke", dash=()) if comparison.rests and look.name != STARTS["dense"].name else look
        for look in comparison.colours.values()
    ]
    if any(len(panel.dense) for panel in comparison.panels):
        entries = [look for look in entries if look.name != STARTS["dense"].name]
        whose = "" if state.by in ("start", "pruner") else ", in the colour of its line"
        entries.append(replace(STARTS["dense"], name=f"dense{whose}"))
        if comparison.dense:
            entries[-1] = replace(entries[-1], name=f"dense{whose}: flat, in the dash of its study", dash=())
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
    """Return all panels, and the charts of those on the state's page."""
    table = filtered(_points(state.studies, by_studies(state), state.measure, state.spread, state.quantity), state)
    whole = _points(state.studies, by_studies(state), state.measure, state.spread, "accuracy")
    comparison = compare(table, looks(state.by, whole), state.panels, state.by, state.spread)
    if state.panels == "learning_rate" and len(comparison.panels) > MOST_PANELS:
        comparison = _telling_first(comparison, state)
    without = _stretching(table) if state.fit == "near" else None
    axis = panel_chart.sparsities(comparison, state.axis)
    y = panel_chart.accuracies(comparison.panels, state.quantity, without)
    view = View(state.measure, state.spread, state.quantity, axis, axis.span, y)
    if state.zoom is not None:
        left, right, bottom, top = state.zoom
        x = (right, left) if axis.by_left else (left, right)
        view = replace(view, x=x, y=(bottom, top), zoomed=True)
    # Panels differ only in their rows, and building each of them would be slow.
    shared = vega.spec(panel_chart.draw(comparison, view))
    first = MOST_PANELS * state.page if MOST_PANELS * state.page < len(comparison.panels) else 0
    charts = []
    for panel in comparison.panels[first : first + MOST_PANELS]:
        rows = panel_chart.rows(panel, comparison, view)
        spec = shared
        if state.fit == "each" and state.zoom is None:
            y = panel_chart.accuracies([panel], state.quantity)
            spec = vega.spec(panel_chart.draw(comparison, replace(view, y=y)))
        datasets = {name: vega.values(frame)["values"] for name, frame in rows.items()}
        charts.append(_chart(state, panel, comparison, table, {**spec, "datasets": datasets}))
    return comparison, charts


def _stretching(table: pd.DataFrame) -> str | None:
    """Return the title of the start that alone stretches the axis downwards; see `points.stretching`."""
    start = stretching(table[table["start"] != "dense"])
    return None if start is None else words.start(start)


def _telling_first(comparison: Comparison, state: CompareState) -> Comparison:
    """Return a comparison whose first panels are those of the learning rates that say most."""
    rates = telling(filtered(compare_queries.accuracy(state.studies), replace(state, starts=())))
    names = [rate_name(rate) for rate in rates]
    return replace(comparison, panels=tuple(sorted(comparison.panels, key=lambda panel: panel.title not in names)))


def _chart(
    state: CompareState, panel: ComparisonPanel, comparison: Comparison, table: pd.DataFrame, spec: Spec
) -> Chart:
    """Return the chart of one panel; table: the points of all panels."""
    ids = {*panel.lines["id"], *panel.dense["id"]}

    def numbers() -> pd.DataFrame:
        rows = table[table["id"].isin(ids)][[*KEYS, "mean", "sd", "low", "high", "n"]]
        return rows.assign(measure=state.measure, quantity=state.quantity, band=SPREADS[state.spread])

    series = [*comparison.colours.values()]
    if len(panel.dense) and STARTS["dense"].name not in comparison.colours:
        series.append(STARTS["dense"])
    what = f"{'Pruned minus dense test' if state.quantity == 'below_dense' else 'Test'} accuracy"
    studies = panel.studies
    return Chart(
        name=file_name("compare", f"accuracy-{panel.title}"),
        spec=spec,
        title=f"{what} ({MEASURES[state.measure]}) against sparsity, {panel.title}",
        alt=f"{what}, {panel.title}; a click on a point lists its seeds below.",
        numbers=numbers,
        caption=(panel.title[0].upper() + panel.title[1:], *([words.listed(studies, "study")] if studies else [])),
        about=words.listed(studies or sorted(_names(state.studies)), "study"),
        legend=Legend((*series, *comparison.rests.values()), band_words(state.spread)),
    )


def _names(ids: tuple[str, ...]) -> set[str]:
    return {str(name) for name in compare_queries.accuracy(ids)["study"].unique()}


@cached(compare_queries.marker, max_entries=16, shared=True)
def _points(ids: tuple[str, ...], studies: bool, measure: Measure, spread: Spread, quantity: Quantity) -> pd.DataFrame:
    return points(values(comparable(compare_queries.accuracy(ids), studies), measure, quantity), measure, spread)


def _numbers(state: CompareState) -> None:
    """Show the mean, the standard deviation and n of every point as a table."""
    st.header("Numbers", anchor=False)
    differs = state.quantity == "below_dense"
    what = "Pruned minus dense test accuracy in points, seed by seed" if differs else "Test accuracy in %"
    st.caption(f"{what}, {MEASURES[state.measure]}: mean ± standard deviation over n seeds.")
    table = _table(state)
    chart.table(table, "compare_numbers")
    chart.csv_button("Numbers as CSV", lambda: _rows(state), "compare-accuracy.csv", "compare_csv")


def _rows(state: CompareState) -> pd.DataFrame:
    table = filtered(_points(state.studies, by_studies(state), state.measure, "sd", state.quantity), state)
    return table[[*KEYS, "mean", "sd", "n"]].assign(measure=state.measure, quantity=state.quantity)


@cached(results, max_entries=16)
def _table(state: CompareState) -> pd.DataFrame:
    rows = _rows(state)
    columns = point_columns(rows)
    return columns.assign(**mean_columns(rows, QUANTITIES[state.quantity], 2), n=rows["n"])
