"""The Accuracy tab: accuracy against sparsity, a panel per learning rate and pruner, and a table of the numbers."""

from dataclasses import replace
from functools import partial
from typing import Literal

import pandas as pd
import streamlit as st

from app import words
from app.charts import accuracy
from app.charts.accuracy import MEASURES, QUANTITIES, Measure, Quantity, View
from app.charts.chart import Chart, Subject
from app.charts.palette import STARTS
from app.charts.points import band_words
from app.components import chart, divergence, same_masks
from app.state import queries
from app.state.cache import cached
from data.queries.studies import StudyRecord

# What the vertical axes hold: all starts but one that alone stretches them, all of all panels, or all of each panel.
Axis = Literal["near", "same", "each"]
AXES: dict[Axis, str] = {"near": "where starts lie together", "same": "all points", "each": "fitted to each panel"}

# How sparsities are spaced: by the logarithm of the weights left, or by the weights removed.
Spacing = Literal["left", "even"]
SPACINGS: dict[Spacing, str] = {"left": "by what is left", "even": "even"}


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    study_id = record.study_id
    rows = queries.accuracy(study_id)
    diverged = queries.divergences(study_id)
    if rows.empty:
        divergence.nothing(diverged, "No training has finished yet. The first points appear here as soon as one has.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="accuracy_choices"):
        dataset, network = chart.place_choice(rows, "accuracy")
        measure: Measure = chart.choice("Accuracy of", MEASURES, "accuracy_measure")
        spread = chart.spread_choice("accuracy_spread")
        subject = Subject(study_id, record.study.name, dataset, network)
        own = subject.rows(rows)
        finished = tuple(dict.fromkeys(own["pruner"].dropna()))
        pruners = tuple(chart.panel_pruners(finished, own["learning_rate"].nunique(), "accuracy_pruner"))
        quantity: Quantity = chart.choice(
            "Show",
            QUANTITIES,
            "accuracy_quantity",
            help="Difference from dense: for each seed, the pruned network minus its dense network, so that chance "
            "which both share cancels out.",
        )
        axis: Axis = chart.choice(
            "Accuracy axis",
            AXES,
            "accuracy_axis",
            help="Where one start alone lies far below the others, the axis fits the others; its points are marked at "
            "the foot with their values.",
        )
        spacing: Spacing = chart.choice(
            "Sparsity axis",
            SPACINGS,
            "accuracy_spacing",
            "left" if accuracy.is_spread(own["sparsity"]) else "even",
            help="By what is left: 80, 90 and 95 % are as far apart as 0, 50 and 75 %, since each halves what is left.",
        )
    divergence.note(diverged)
    charts, rates = _charts(
        subject, pruners, View((0.0, 100.0), measure, spread, quantity, spacing == "left", True), axis
    )
    if not charts:
        _dense_only(own, measure)
        return
    looks = [look for start, look in STARTS.items() if start == "dense" or start in set(rows["start"])]
    chart.legend_row(looks, band_words(spread))
    chart.grid(len(charts), min(rates, 3), lambda index: chart.show(charts[index], f"accuracy-panel-{index}"))
    if alike := same_masks.sentences(own):
        st.caption(words.plain(" ".join(alike)))
    _numbers(subject, measure)


def _numbers(subject: Subject, measure: Measure) -> None:
    st.subheader("Numbers", anchor=False)
    st.caption(f"Test accuracy in %, {MEASURES[measure]}: mean ± standard deviation over n seeds.")
    with st.container(key="accuracy_table"):
        chart.table(_table(subject, measure), "accuracy_frame")
    numbers = partial(accuracy.numbers, queries.accuracy(subject.study_id), measure)
    chart.csv_button("Numbers as CSV", numbers, f"{subject.study_id}-accuracy.csv", "accuracy_csv")


@cached(chart.subject_results, max_entries=16)
def _table(subject: Subject, measure: Measure) -> pd.DataFrame:
    return accuracy.table(subject.rows(queries.accuracy(subject.study_id)), measure)


def _dense_only(rows: pd.DataFrame, measure: Measure) -> None:
    st.info("No pruned network has finished yet. The table shows the dense networks.")
    chart.table(accuracy.dense_table(rows, measure), "accuracy_dense")


@cached(chart.subject_results, max_entries=32, shared=True)
def _charts(subject: Subject, pruners: tuple[str, ...], view: View, axis: Axis) -> tuple[list[Chart], int]:
    """Return the panels of some pruners, whose vertical axes follow a choice, and the number of learning rates."""
    rows = subject.rows(queries.accuracy(subject.study_id))
    rows = rows[rows["pruner"].isin(pruners) | (rows["start"] == "dense")]
    panels = accuracy.panels(rows, view.measure, view.spread, view.quantity)
    without = accuracy.stretching(panels) if axis == "near" else None
    domains = [accuracy.domain([panel] if axis == "each" else panels, view.quantity, without) for panel in panels]
    charts = [accuracy.chart(subject, panel, replace(view, y=y)) for panel, y in zip(panels, domains, strict=True)]
    return charts, rows["learning_rate"].nunique()
