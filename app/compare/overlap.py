"""Overlap of several studies side by side: against p, over training time, by sparsity and by layer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app import words
from app.charts import ancestors, retention
from app.charts import overlap as charts
from app.charts.palette import Look, ramp
from app.charts.points import band
from app.compare import controls
from app.compare import saving as compare_saving
from app.compare.points import apart, chosen, label
from app.compare.saving import Numbers, means
from app.compare.state import CompareState, results
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached
from engine.study.results import AGAINST_DENSE

MOST_PANELS = 12
# Maps have a cell, and a figure in it, for every layer and column.
MOST_MAPS = 4
_DENSE = ("initial_pretrained",)
_COMPARED = ("ticket_finetuned", "reinit_finetuned")
# Networks of one kind: the rows of a variant differ in learning rate, pruner, sparsity and seed only.
VARIANT = ["network", "dataset", "recipe"]
# What tells the points of panels by sparsity apart, beside their variant.
_BY_SPARSITY = ["learning_rate", "pruner", "pair", "p", "sparsity"]


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the five views."""
    dense = compare_queries.pooled(state.studies, _DENSE)
    if dense.empty:
        st.info("No overlap has been measured yet in these studies. The first comes with a dense network that is done.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_overlap_choices"):
        p = controls.p(state, sorted(dense["p"].unique()))
        controls.spread(state)
    state = replace(state, p=p, point="", zoom=None)
    rates = sorted(float(rate) for rate in rows["learning_rate"].unique())
    bands = band(state.spread)
    looks = [*charts.rate_looks(rates).values(), charts.CHANCE]

    st.subheader("What training keeps of the initial weights", anchor=False)
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of the dense network before and after training, all layers together. "
        "Independent weights give p."
    )
    chart.legend_row(looks, bands)
    _grid(_by_p(state), "compare-retention", "Overlap of initial and trained weights against p", 3, looks, bands)

    st.subheader("Over training time", anchor=False)
    st.caption(
        rf"$R_p(\theta_0, \theta_t)$ at p = {p:g} after epoch $t$ of the dense training. Independent weights give p."
    )
    st.segmented_control(
        "Axis of time",
        ["linear", "log"],
        required=True,
        label_visibility="collapsed",
        format_func={"linear": "epochs", "log": "epochs, log"}.__getitem__,
        **controls.bound("time", state.time),
    )
    retained, lacking = _over_time(state)
    if retained:
        chart.legend_row(looks, bands)
        _grid(retained, "compare-time", "Overlap of initial weights and those in training, by epoch", 3, looks, bands)
    if lacking:
        st.caption(lacking)

    st.subheader("Starts against the fine-tuned network", anchor=False)
    st.caption(
        r"Overlap ratio of winning ticket ($\theta_0\odot m$) and random reinit ($\theta_0'\odot m$) with the "
        rf"fine-tuned network $(\theta_T\odot m)_T$ under one mask $m$, at p = {p:g}. Only kept weights are ranked."
    )
    starts, total = _by_sparsity(state)
    if starts:
        compared = [*charts.compared_looks(), charts.CHANCE]
        chart.legend_row(compared, bands)
        _grid(
            starts, "compare-starts", "Overlap with the fine-tuned network against sparsity", 3, compared, bands, total
        )
    else:
        st.info(
            "No fine-tuned network of these studies and filters is done, which these overlaps are measured against."
        )

    st.subheader("The fine-tuned network against its dense ancestors", anchor=False)
    st.caption(
        r"Overlap ratio of $(\theta_T\odot m)_T$ with the initial weights $\theta_0$ and with the trained dense "
        rf"weights $\theta_T$, at p = {p:g}, all weights ranked. {ancestors.EXPLAINED}"
    )
    found, total, lacking = _ancestors(state)
    if found:
        compared = ancestors.looks()
        chart.legend_row(compared, bands)
        alt = "Overlap of the fine-tuned network with its dense ancestors against sparsity"
        _grid(found, "compare-ancestors", f"{alt}, with the {ancestors.LEVEL}", 3, compared, bands, total)
    else:
        most = words.percent(1 - p)
        st.info(f"No fine-tuned network of a sparsity up to {most} is left by the filters; choose a smaller p.")
    if lacking:
        st.caption(lacking)

    st.subheader("Layer by layer", anchor=False)
    st.caption(
        r"$R_p(\theta_0, \theta_T)$ of each prunable layer, mean over seeds; layers in network order, the input on top."
    )
    st.segmented_control(
        "Across",
        ["p", "learning_rate"],
        required=True,
        label_visibility="collapsed",
        format_func={"p": "p", "learning_rate": f"learning rates at p = {p:g}"}.__getitem__,
        **controls.bound("across", state.across),
    )
    st.html(ramp("0", "1"))
    maps, total = _by_layer(state)
    _grid(maps, "compare-layers", "Overlap of initial and trained weights by layer", 2, total=total)


Drawn = list[tuple[str, chart.Spec, Numbers]]


def _grid(
    drawn: Drawn, key: str, alt: str, columns: int, looks: Sequence[Look] = (), bands: str = "", total: int = 0
) -> None:
    def cell(index: int) -> None:
        title, spec, numbers = drawn[index]
        st.markdown(f"**{words.plain(title)}**")
        name = f"{key.removeprefix('compare-')}-{title}"
        saving = compare_saving.chart(name, f"{alt}, {title}", numbers, looks, bands)
        chart.show(spec, f"{key}-{index}", f"{alt}, {title}.", saving)

    if not drawn:
        st.caption("Nothing of this is left by the filters.")
        return
    chart.grid(len(drawn), min(chart.columns(len(drawn)), columns), cell)
    if total > len(drawn):
        st.caption(f"The first {len(drawn)} of {total} panels; choose fewer by the filters to see others.")


def title(values: tuple[object, ...]) -> str:
    """Return what a variant is in words."""
    network, dataset, recipe = values
    return f"{label('network', network)} on {label('dataset', dataset)}" + (f" · {recipe}" if recipe else "")


@cached(results, max_entries=16, shared=True)
def _by_p(state: CompareState) -> Drawn:
    everything = apart(compare_queries.pooled(state.studies, _DENSE), studies=False)
    rates = _rates(everything)
    parts = _in_order(_dense(everything, state), VARIANT)[:MOST_PANELS]
    return [
        (
            title(variant),
            chart.spec(charts.retention(part, rates, state.spread)),
            means(part, "ratio", ["learning_rate", "p"], state.spread),
        )
        for variant, part in parts
    ]


@cached(results, max_entries=16, shared=True)
def _over_time(state: CompareState) -> tuple[Drawn, str]:
    everything = apart(compare_queries.accuracy(state.studies), studies=False)
    dense = _dense(everything[everything["start"] == "dense"], state)
    found = apart(compare_queries.retention(state.studies), studies=False)
    rates = _rates(everything)
    shown = _dense(found[found["p"].round(4) == round(state.p, 4)], state)
    drawn = [
        (
            title(variant),
            chart.spec(retention.over_time(part, rates, state.p, state.spread, state.time)),
            means(part, "ratio", ["learning_rate", "p", "epoch"], state.spread),
        )
        for variant, part in _in_order(shown, VARIANT)[:MOST_PANELS]
    ]
    return drawn, retention.without(dense, found)


@cached(results, max_entries=16, shared=True)
def _by_sparsity(state: CompareState) -> tuple[Drawn, int]:
    _, parts = _panels(state, _COMPARED)
    return [
        (
            caption,
            charts.starts(part, state.p, state.spread),
            means(part, "ratio", _BY_SPARSITY, state.spread),
        )
        for caption, part in parts[:MOST_PANELS]
    ], len(parts)


@cached(results, max_entries=16, shared=True)
def _ancestors(state: CompareState) -> tuple[Drawn, int, str]:
    rows, parts = _panels(state, AGAINST_DENSE)

    def numbers(part: pd.DataFrame) -> Numbers:
        keys = [name for name in VARIANT if name not in _BY_SPARSITY] + _BY_SPARSITY
        drawn = means(part, "ratio", _BY_SPARSITY, state.spread)
        return lambda: ancestors.with_levels(drawn(), part, keys)

    drawn: Drawn = [
        (caption, ancestors.chart(part, state.p, state.spread), numbers(part)) for caption, part in parts[:MOST_PANELS]
    ]
    return drawn, len(parts), ancestors.missing(rows)


def _panels(state: CompareState, pairs: tuple[str, ...]) -> tuple[pd.DataFrame, list[tuple[str, pd.DataFrame]]]:
    """Return overlaps of some pairs at the p of the page, and those of each panel with its caption."""
    everything = apart(compare_queries.pooled(state.studies, pairs, state.p), studies=False)
    found = chosen(everything, replace(state, starts=()))
    several = found[VARIANT].drop_duplicates().shape[0] > 1
    parts = _in_order(found, [*VARIANT, "pruner", "learning_rate"])
    return found, [
        (
            f"Learning rate {words.number(values[4])} · {words.pruner(values[3])}"
            + (f" · {title(values[:3])}" if several else ""),
            part,
        )
        for values, part in parts
    ]


@cached(results, max_entries=16, shared=True)
def _by_layer(state: CompareState) -> tuple[Drawn, int]:
    found = _dense(apart(compare_queries.layers(state.studies), studies=False), state)
    found = found.assign(ratio=found["intersection"] / found["top"].where(found["top"] > 0))
    across = state.across
    if across == "learning_rate":
        found = found[found["p"].round(4) == round(state.p, 4)]
    parts = _in_order(found, VARIANT if across == "learning_rate" else [*VARIANT, "learning_rate"])
    return [
        (
            (f"Learning rate {words.number(values[3])} · " if across == "p" else "") + title(values[:3]),
            chart.spec(charts.layer_map(part, across)),
            means(part, "ratio", ["learning_rate", "p", "position", "layer"], "sd"),
        )
        for values, part in parts[:MOST_MAPS]
    ], len(parts)


def _in_order(rows: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Return the parts of rows by their keys, learning rates from the lowest, all else as it comes."""
    parts = list(rows.groupby(keys, sort=False))
    others = list(dict.fromkeys(tuple(values[: len(keys) - 1]) for values, _ in parts))
    if keys[-1] != "learning_rate":
        return parts
    return sorted(parts, key=lambda part: (others.index(tuple(part[0][:-1])), part[0][-1]))


def _dense(rows: pd.DataFrame, state: CompareState) -> pd.DataFrame:
    return chosen(rows, replace(state, starts=(), pruners=()))


def _rates(rows: pd.DataFrame) -> list[float]:
    return sorted(float(rate) for rate in rows["learning_rate"].unique())
