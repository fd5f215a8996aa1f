"""The Accuracy tab: accuracy against sparsity, a panel per learning rate and pruner, and a table of the numbers."""

from dataclasses import replace
from functools import partial
from typing import Literal

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import telling
from app.charts import accuracy
from app.charts.accuracy import MEASURES, Measure, View
from app.charts.chart import Chart, Subject
from app.charts.palette import present
from app.charts.points import (
    ABOUT_FITS,
    ABOUT_QUANTITIES,
    ABOUT_SPACING,
    EVEN,
    FITS,
    LEFT,
    QUANTITIES,
    Fit,
    Quantity,
    band_words,
    is_spread,
)
from app.components import chart, divergence, same_masks
from app.state import queries
from app.state.cache import cached
from data.queries.studies import StudyRecord

# How sparsities are spaced.
Spacing = Literal["left", "even"]
SPACINGS: dict[Spacing, str] = {"left": LEFT, "even": EVEN}


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
        rates = tuple(chart.panel_rates(sorted(own["learning_rate"].unique()), telling(own), "accuracy_rates"))
        pruners = tuple(chart.panel_pruners(finished, len(rates), "accuracy_pruner"))
        quantity: Quantity = chart.choice("Show", QUANTITIES, "accuracy_quantity", help=ABOUT_QUANTITIES)
        fit: Fit = chart.choice("Accuracy axis", FITS, "accuracy_axis", help=ABOUT_FITS)
        spacing: Spacing = chart.choice(
            "Sparsity axis",
            SPACINGS,
            "accuracy_spacing",
            "left" if is_spread(own["sparsity"]) else "even",
            help=ABOUT_SPACING,
        )
    divergence.note(diverged)
    view = View((0.0, 100.0), measure, spread, quantity, spacing == "left", True)
    charts = _charts(subject, pruners, rates, view, fit)
    if not charts:
        _dense_only(own, measure)
        return
    looks = list(present(["dense", *rows["start"]]).values())
    chart.legend_row(looks, band_words(spread))
    chart.grid(
        len(charts),
        min(len(rates), chart.columns(len(rates))),
        lambda index: chart.show(charts[index], f"accuracy-panel-{index}"),
    )
    if alike := same_masks.sentences(own):
        st.caption(words.plain(" ".join(alike)))
    _numbers(subject, measure)


def _numbers(subject: Subject, measure: Measure) -> None:
    st.header("Numbers", anchor=False)
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
def _charts(subject: Subject, pruners: tuple[str, ...], rates: tuple[float, ...], view: View, fit: Fit) -> list[Chart]:
    """Return the panels of some pruners and learning rates, whose vertical axes follow a choice."""
    rows = subject.rows(queries.accuracy(subject.study_id))
    rows = rows[(rows["pruner"].isin(pruners) | (rows["start"] == "dense")) & rows["learning_rate"].isin(rates)]
    panels = accuracy.panels(rows, view.measure, view.spread, view.quantity)
    without = accuracy.stretching(panels) if fit == "near" else None
    domains = [accuracy.domain([panel] if fit == "each" else panels, view.quantity, without) for panel in panels]
    return [accuracy.chart(subject, panel, replace(view, y=y)) for panel, y in zip(panels, domains, strict=True)]
