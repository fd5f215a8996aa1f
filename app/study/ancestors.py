"""The section of the Overlap tab that compares the fine-tuned network with the dense networks before it."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from app import words
from app.charts import ancestors, overlap
from app.charts.chart import Chart, Subject
from app.charts.points import Spread
from app.components import chart
from app.state import queries
from app.state.cache import cached
from data.queries.studies import StudyRecord


def section(
    record: StudyRecord, subject: Subject, pruners: Sequence[str], rates: Sequence[float], p: float, spread: Spread
) -> None:
    """Draw the section; pruners, rates: those that get a panel, while the table has all."""
    study_id = record.study_id
    st.header("The fine-tuned network against its dense ancestors", anchor=False)
    st.caption(
        rf"Overlap ratio at p = {p:g} of $(\theta_T\odot m)_T$ with the initial weights $\theta_0$ and with the "
        r"trained dense weights $\theta_T$. All weights are ranked, so only sparsities up to 1 − p are compared. "
        f"{ancestors.EXPLAINED}"
    )
    rows = _by_panel(subject, p)
    if not rows:
        st.info(f"No fine-tuned network of a sparsity up to {words.percent(1 - p)} has finished; choose a smaller p.")
    else:
        panels = [(pruner, rate) for pruner in pruners for rate in rates if (pruner, rate) in rows]
        legend = ancestors.legend(spread)
        chart.legend_row(legend.looks, legend.bands)

        def cell(index: int) -> None:
            chart.show(_chart(subject, *panels[index], p, spread), f"overlap-ancestors-{index}")

        chart.grid(len(panels), min(len(rates), chart.columns(len(rates))), cell)
        st.caption("Mean ± standard deviation over n seeds.")
        with st.container(key="overlap_table"):
            chart.table(_table(subject, p), "overlap_frame")
        if missing := ancestors.missing(pd.concat(rows.values())):
            st.caption(missing)
    numbers = partial(overlap.numbers, queries.pooled_overlaps(study_id))
    chart.csv_button("All overlaps as CSV", numbers, f"{study_id}-overlap.csv", "overlap_csv")


@cached(chart.subject_results, max_entries=32, shared=True)
def _by_panel(subject: Subject, p: float) -> dict[tuple[str, float], pd.DataFrame]:
    """Return the overlaps with dense networks at one p, by pruner and learning rate."""
    rows = ancestors.at(subject.rows(queries.pooled_overlaps(subject.study_id)), p)
    return {(str(pruner), float(rate)): part for (pruner, rate), part in rows.groupby(["pruner", "learning_rate"])}


@cached(chart.subject_results, max_entries=64, shared=True)
def _chart(subject: Subject, pruner: str, rate: float, p: float, spread: Spread) -> Chart:
    return ancestors.chart(subject, pruner, rate, _by_panel(subject, p)[pruner, rate], p, spread)


@cached(chart.subject_results, max_entries=32)
def _table(subject: Subject, p: float) -> pd.DataFrame:
    return ancestors.table(pd.concat(_by_panel(subject, p).values()), p)
