"""The Accuracy tab: accuracy against sparsity, a panel per learning rate and pruner, and a table of the numbers."""

from functools import partial

import pandas as pd
import streamlit as st

from app import words
from app.charts import accuracy
from app.charts.accuracy import MEASURES, Measure
from app.charts.chart import Chart, Subject
from app.charts.palette import STARTS
from app.charts.points import Spread, band_words
from app.components import chart, divergence, same_masks
from app.state import queries
from app.state.cache import cached
from data.queries.studies import StudyRecord


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
        measure: Measure = st.segmented_control(
            "Accuracy of",
            list(MEASURES),
            default="test_accuracy",
            required=True,
            format_func=MEASURES.__getitem__,
            key="accuracy_measure",
            persist_state="page",
        )
        spread = chart.spread_choice("accuracy_spread")
        subject = Subject(study_id, record.study.name, dataset, network)
        own = subject.rows(rows)
        finished = tuple(dict.fromkeys(own["pruner"].dropna()))
        pruners = tuple(chart.panel_pruners(finished, own["learning_rate"].nunique(), "accuracy_pruner"))
        shared = st.segmented_control(
            "Accuracy axis",
            [True, False],
            default=True,
            required=True,
            format_func={True: "same in all panels", False: "fitted to each"}.__getitem__,
            key="accuracy_axis",
            persist_state="page",
        )
    divergence.note(diverged)
    charts, rates = _charts(subject, pruners, measure, spread, shared)
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
def _charts(
    subject: Subject, pruners: tuple[str, ...], measure: Measure, spread: Spread, shared: bool
) -> tuple[list[Chart], int]:
    """Return the panels of some pruners and the number of learning rates; shared: all panels have one accuracy axis."""
    rows = subject.rows(queries.accuracy(subject.study_id))
    rows = rows[rows["pruner"].isin(pruners) | (rows["start"] == "dense")]
    panels = accuracy.panels(rows, measure, spread)
    axes = [accuracy.domain(panels if shared else [panel]) for panel in panels]
    charts = [accuracy.chart(subject, panel, measure, spread, y) for panel, y in zip(panels, axes, strict=True)]
    return charts, rows["learning_rate"].nunique()
