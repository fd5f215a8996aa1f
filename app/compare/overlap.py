"""The Overlap view of a comparison: overlap by p, over training time, by sparsity and by layer."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import telling
from app.charts import ancestors, overlap, retention
from app.charts.chart import Chart, Numbers, file_name
from app.charts.palette import ramp
from app.charts.picture import NO_LEGEND, Legend
from app.charts.points import at_p, means
from app.charts.vega import Spec
from app.compare import controls
from app.compare.points import by_studies, comparable, filtered, label
from app.compare.state import CompareState, results
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached
from engine.study.results import AGAINST_DENSE

# Of each kind; where learning rates are many, those that say most come first.
MOST_PANELS = 6
# A browser takes long for a heat map, which has a cell with a number for every layer and column.
MOST_MAPS = 4
_DENSE = ("initial_pretrained",)
# The rows of a variant differ only in learning rate, pruner, sparsity and seed.
VARIANT = ["study", "network", "dataset", "recipe"]
# With their variant, these columns identify the points of panels by sparsity.
_BY_SPARSITY = ["learning_rate", "pruner", "pair", "p", "sparsity"]


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the five views."""
    dense = compare_queries.pooled(state.studies, _DENSE)
    if dense.empty:
        st.info("These studies have no overlap yet. It is measured as soon as the first dense network is done.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_overlap_choices"):
        p = controls.p(state, sorted(dense["p"].unique()))
        controls.spread(state)
    state = replace(state, p=p, point="", zoom=None)
    rates = tuple(sorted(float(rate) for rate in rows["learning_rate"].unique()))
    _training(state, rates)
    _fine_tuned(state)
    _layers(state)


def _training(state: CompareState, rates: tuple[float, ...]) -> None:
    """Draw the overlap of dense networks with their initial weights, after and during training."""
    legend = retention.legend(rates, state.spread)
    st.header("What training keeps of the initial weights", anchor=False)
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of the dense network before and after training, all layers together. "
        "Independent weights give p."
    )
    chart.legend_row(legend.looks, legend.bands)
    _grid(_by_p(state, rates), "compare-retention", 3)
    st.header("Over training time", anchor=False)
    st.caption(
        rf"$R_p(\theta_0, \theta_t)$ at p = {state.p:g} after epoch $t$ of the dense training. "
        "Independent weights give p."
    )
    st.segmented_control(
        "Axis of time",
        ["linear", "log"],
        required=True,
        label_visibility="collapsed",
        format_func={"linear": "epochs", "log": "epochs, log"}.__getitem__,
        **controls.bound("time", state.time),
    )
    panels, missing = _over_time(state, rates)
    if panels:
        chart.legend_row(legend.looks, legend.bands)
        _grid(panels, "compare-time", 3)
    if missing:
        st.caption(missing)


def _fine_tuned(state: CompareState) -> None:
    """Draw the overlap of fine-tuned networks with the two starts, and with their dense ancestors."""
    st.header("Starts against the fine-tuned network", anchor=False)
    st.caption(
        r"Overlap ratio of winning ticket ($\theta_0\odot m$) and random reinit ($\theta_0'\odot m$) with the "
        rf"fine-tuned network $(\theta_T\odot m)_T$ under one mask $m$, at p = {state.p:g}. "
        "Only kept weights are ranked."
    )
    starts, total = _by_sparsity(state)
    if starts:
        chart.legend_of(starts[0])
        _grid(starts, "compare-starts", 3, total)
    else:
        st.info("No fine-tuned network passes the filters yet, and these overlaps are measured against one.")
    st.header("The fine-tuned network against its dense ancestors", anchor=False)
    st.caption(
        r"Overlap ratio of $(\theta_T\odot m)_T$ with the initial weights $\theta_0$ and with the trained dense "
        rf"weights $\theta_T$, at p = {state.p:g}, all weights ranked. {ancestors.EXPLAINED}"
    )
    panels, total, missing = _ancestors(state)
    if panels:
        chart.legend_of(panels[0])
        _grid(panels, "compare-ancestors", 3, total)
    else:
        most = words.percent(1 - state.p)
        st.info(f"No fine-tuned network of a sparsity up to {most} passes the filters. Choose a smaller p.")
    if missing:
        st.caption(missing)


def _layers(state: CompareState) -> None:
    st.header("Layer by layer", anchor=False)
    st.caption(
        r"$R_p(\theta_0, \theta_T)$ of each prunable layer, mean over seeds; layers in network order, the input on top."
    )
    st.segmented_control(
        "Across",
        ["p", "learning_rate"],
        required=True,
        label_visibility="collapsed",
        format_func={"p": "p", "learning_rate": f"learning rates at p = {state.p:g}"}.__getitem__,
        **controls.bound("across", state.across),
    )
    st.html(ramp("0", "1"))
    maps, total = _by_layer(state)
    _grid(maps, "compare-layers", 2, total)


def _grid(charts: Sequence[Chart], key: str, columns: int, total: int = 0) -> None:
    """Show charts in a grid; total: their number without the limit."""
    if not charts:
        st.caption("No result passes the filters.")
        return
    columns = min(chart.columns(len(charts)), columns)
    chart.grid(len(charts), columns, lambda index: chart.show(charts[index], f"{key}-{index}"))
    chart.count_line(len(charts), total)


def _chart(kind: str, subject: str, caption: str, spec: Spec, numbers: Numbers, legend: Legend = NO_LEGEND) -> Chart:
    """Return the chart of one panel; kind: a part of its files' name, subject: a part of its title."""
    return Chart(
        name=file_name("compare", f"{kind}-{caption}"),
        spec=spec,
        title=f"{subject}, {caption}",
        alt=f"{subject}, {caption}.",
        numbers=numbers,
        caption=(caption,),
        legend=legend,
    )


def title(values: tuple[object, ...]) -> str:
    """Return a variant in words."""
    study, network, dataset, recipe = map(str, values)
    return " · ".join(filter(None, (study, f"{label('network', network)} on {label('dataset', dataset)}", recipe)))


@cached(results, max_entries=16, shared=True)
def _by_p(state: CompareState, rates: tuple[float, ...]) -> list[Chart]:
    rows = _of_dense(comparable(compare_queries.pooled(state.studies, _DENSE), by_studies(state)), state)
    return [
        _chart(
            "retention",
            "Overlap of initial and trained weights against p",
            title(variant),
            retention.draw_by_p(part, rates, state.spread),
            means(part, "ratio", ["learning_rate", "p"], state.spread),
            retention.legend(rates, state.spread),
        )
        for variant, part in _in_order(rows, VARIANT)[:MOST_PANELS]
    ]


@cached(results, max_entries=16, shared=True)
def _over_time(state: CompareState, rates: tuple[float, ...]) -> tuple[list[Chart], str]:
    accuracies = comparable(compare_queries.accuracy(state.studies), by_studies(state))
    dense = _of_dense(accuracies[accuracies["start"] == "dense"], state)
    retained = comparable(compare_queries.retention(state.studies), by_studies(state))
    rows = _of_dense(at_p(retained, state.p), state)
    return [
        _chart(
            "time",
            "Overlap of initial weights and those in training, by epoch",
            title(variant),
            retention.draw_over_time(part, rates, state.p, state.spread, state.time),
            means(part, "ratio", ["learning_rate", "p", "epoch"], state.spread),
            retention.legend(rates, state.spread),
        )
        for variant, part in _in_order(rows, VARIANT)[:MOST_PANELS]
    ], retention.unmeasured(dense, retained)


@cached(results, max_entries=16, shared=True)
def _by_sparsity(state: CompareState) -> tuple[list[Chart], int]:
    _, parts = _panels(state, tuple(overlap.PAIR_OF.values()))
    return [
        _chart(
            "starts",
            "Overlap with the fine-tuned network against sparsity",
            caption,
            overlap.draw_starts(part, state.p, state.spread),
            means(part, "ratio", _BY_SPARSITY, state.spread),
            overlap.starts_legend(state.spread),
        )
        for caption, part in parts[:MOST_PANELS]
    ], len(parts)


@cached(results, max_entries=16, shared=True)
def _ancestors(state: CompareState) -> tuple[list[Chart], int, str]:
    rows, parts = _panels(state, AGAINST_DENSE)

    def numbers(part: pd.DataFrame) -> pd.DataFrame:
        keys = [*VARIANT, *_BY_SPARSITY]
        return ancestors.with_levels(means(part, "ratio", _BY_SPARSITY, state.spread)(), part, keys)

    return (
        [
            _chart(
                "ancestors",
                "Overlap of the fine-tuned network with its dense ancestors against sparsity, with the "
                f"{ancestors.LEVEL}",
                caption,
                ancestors.draw(part, state.p, state.spread),
                partial(numbers, part),
                ancestors.legend(state.spread),
            )
            for caption, part in parts[:MOST_PANELS]
        ],
        len(parts),
        ancestors.missing(rows),
    )


def _panels(state: CompareState, pairs: tuple[str, ...]) -> tuple[pd.DataFrame, list[tuple[str, pd.DataFrame]]]:
    """Return the overlaps of some pairs at the page's p, and the caption and rows of each panel."""
    pooled = comparable(compare_queries.pooled(state.studies, pairs, state.p), by_studies(state))
    rows = filtered(pooled, replace(state, starts=()))
    several = rows[VARIANT].drop_duplicates().shape[0] > 1
    parts = _in_order(rows, [*VARIANT, "pruner", "learning_rate"])
    if rows["learning_rate"].nunique() > words.MOST_LISTED:
        first = telling(filtered(compare_queries.accuracy(state.studies), replace(state, starts=())))
        parts.sort(key=lambda part: part[0][-1] not in first)
    return rows, [
        (overlap.panel_title(values[4], values[5]) + (f" · {title(values[:4])}" if several else ""), part)
        for values, part in parts
    ]


@cached(results, max_entries=16, shared=True)
def _by_layer(state: CompareState) -> tuple[list[Chart], int]:
    rows = overlap.with_ratio(_of_dense(comparable(compare_queries.layers(state.studies), by_studies(state)), state))
    across = state.across
    if across == "learning_rate":
        rows = at_p(rows, state.p)
    parts = _in_order(rows, VARIANT if across == "learning_rate" else [*VARIANT, "learning_rate"])
    return [
        _chart(
            "layers",
            "Overlap of initial and trained weights by layer",
            (f"Learning rate {words.number(values[4])} · " if across == "p" else "") + title(values[:4]),
            overlap.draw_layers(part, across),
            means(part, "ratio", ["learning_rate", "p", "position", "layer"], "sd"),
        )
        for values, part in parts[:MOST_MAPS]
    ], len(parts)


def _in_order(rows: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Return groups of rows with their keys in the order of the rows, learning rates from the lowest."""
    parts = list(rows.groupby(keys, sort=False))
    others = list(dict.fromkeys(tuple(values[: len(keys) - 1]) for values, _ in parts))
    if keys[-1] != "learning_rate":
        return parts
    return sorted(parts, key=lambda part: (others.index(tuple(part[0][:-1])), part[0][-1]))


def _of_dense(rows: pd.DataFrame, state: CompareState) -> pd.DataFrame:
    """Return the rows of dense networks that pass the filters."""
    return filtered(rows, replace(state, starts=(), pruners=()))
