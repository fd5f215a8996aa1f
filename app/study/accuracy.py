"""The Accuracy tab: accuracy against sparsity, a panel per learning rate and pruner, and the numbers behind it."""

from functools import partial

import pandas as pd
import streamlit as st

from app import words
from app.charts import accuracy as charts
from app.charts.accuracy import MEASURES, Measure
from app.charts.palette import STARTS
from app.charts.points import Spread, band
from app.components import chart, divergence, same_masks
from app.export import named
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
        here = rows[(rows["dataset"] == dataset) & (rows["network"] == network)]
        found = tuple(dict.fromkeys(here["pruner"].dropna()))
        pruners = tuple(chart.panel_pruners(found, here["learning_rate"].nunique(), "accuracy_pruner"))
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
    panels, specs = _drawn(study_id, dataset, network, pruners, measure, spread, shared)
    if not panels:
        _dense_only(here, measure)
        return
    looks = [look for start, look in STARTS.items() if start == "dense" or start in set(rows["start"])]
    chart.legend_row(looks, band(spread))

    def cell(index: int) -> None:
        panel = panels[index]
        st.markdown(
            f"**{panel.title[0].upper()}{panel.title[1:]}**  \n:gray[:small[{charts.dense_words(panel, spread)}]]"
        )
        alt = f"Test accuracy against sparsity, {panel.title}; the numbers stand in the table below."
        saving = named.accuracy(record, dataset, network, panel, measure, spread)
        chart.show(specs[index], f"accuracy-panel-{index}", alt, saving)

    chart.grid(len(panels), min(len({panel.learning_rate for panel in panels}), 3), cell)
    if alike := same_masks.sentences(here):
        st.caption(words.plain(" ".join(alike)))
    _numbers(dataset, network, measure, study_id)


def _numbers(dataset: str, network: str, measure: Measure, study_id: str) -> None:
    st.subheader("Numbers", anchor=False)
    st.caption(f"Test accuracy in %, {MEASURES[measure]}: mean ± standard deviation over n seeds.")
    table = _table(study_id, dataset, network, measure)
    with st.container(key="accuracy_table"):
        chart.table(table, "accuracy_frame")
    st.download_button(
        "Numbers as CSV",
        partial(_csv, queries.accuracy(study_id), measure),
        f"{study_id}-accuracy.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="accuracy_csv",
    )


@cached(queries.measured, max_entries=16)
def _table(study_id: str, dataset: str, network: str, measure: Measure) -> pd.DataFrame:
    rows = queries.accuracy(study_id)
    return charts.table(rows[(rows["dataset"] == dataset) & (rows["network"] == network)], measure)


def _csv(rows: pd.DataFrame, measure: Measure) -> str:
    return str(charts.numbers(rows, measure).to_csv(index=False))


def _dense_only(rows: pd.DataFrame, measure: Measure) -> None:
    st.info("No pruned network has finished yet: only dense baselines so far, in the table.")
    chart.table(charts.dense_table(rows, measure), "accuracy_dense")


@cached(queries.measured, max_entries=32, shared=True)
def _drawn(
    study_id: str, dataset: str, network: str, pruners: tuple[str, ...], measure: Measure, spread: Spread, shared: bool
) -> tuple[list[charts.Panel], list[chart.Spec]]:
    rows = queries.accuracy(study_id)
    rows = rows[(rows["dataset"] == dataset) & (rows["network"] == network)]
    rows = rows[rows["pruner"].isin(pruners) | (rows["start"] == "dense")]
    panels = charts.panels(rows, measure, spread)
    axes = [charts.domain(panels if shared else [panel]) for panel in panels]
    return panels, [charts.chart(panel, measure, spread, y) for panel, y in zip(panels, axes, strict=True)]
