"""The section of the Overlap tab on the initial weights that are left, epoch by epoch of the dense training."""

import streamlit as st

from app.charts import retention
from app.charts.chart import Chart, Subject
from app.charts.points import Spread
from app.charts.retention import Time
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached
from data.queries.studies import StudyRecord


def section(record: StudyRecord, subject: Subject, p: float, spread: Spread) -> None:
    """Draw R_p(θ₀, θ_t) over training time, or say that it was not measured."""
    ids, rates = (record.study_id,), record.study.learning_rates
    st.subheader("Over training time", anchor=False)
    st.caption(
        rf"Overlap ratio $R_p(\theta_0, \theta_t)$ at p = {p:g} after epoch $t$ of the dense training, all layers "
        "together. Independent weights give p."
    )
    retained = compare_queries.retention(ids)
    retained = retained[(retained["dataset"] == subject.dataset) & (retained["network"] == subject.network)]
    rows = compare_queries.accuracy(ids)
    dense = rows[
        (rows["start"] == "dense") & (rows["dataset"] == subject.dataset) & (rows["network"] == subject.network)
    ]
    if len(retained):
        time: Time = st.segmented_control(
            "Axis of time",
            ["linear", "log"],
            default="linear",
            required=True,
            format_func={"linear": "epochs", "log": "epochs, log"}.__getitem__,
            key="overlap_time_axis",
            persist_state="page",
            label_visibility="collapsed",
        )
        drawn = _chart(subject, rates, p, spread, time)
        chart.legend_of(drawn)
        chart.show(drawn, "overlap-time")
    if missing := retention.unmeasured(dense, retained):
        st.caption(missing)


@cached(chart.subject_results, max_entries=32, shared=True)
def _chart(subject: Subject, rates: tuple[float, ...], p: float, spread: Spread, time: Time) -> Chart:
    rows = compare_queries.retention((subject.study_id,))
    rows = rows[(rows["dataset"] == subject.dataset) & (rows["network"] == subject.network)]
    return retention.over_time(subject, rows, rates, p, spread, time)
