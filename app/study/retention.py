"""The section of the Overlap tab on how much of the initial weights is left after each epoch of dense training."""

import streamlit as st

from app.charts import retention
from app.charts.chart import Chart, Subject
from app.charts.points import Spread
from app.charts.retention import Time
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached
from data.queries.studies import StudyRecord

_AXES: dict[Time, str] = {"linear": "epochs", "log": "epochs, log"}


def section(record: StudyRecord, subject: Subject, p: float, spread: Spread) -> None:
    """Draw R_p(θ₀, θ_t) over training time, and name the networks for which it was not measured."""
    ids, rates = (record.study_id,), record.study.learning_rates
    st.header("Over training time", anchor=False)
    st.caption(
        rf"Overlap ratio $R_p(\theta_0, \theta_t)$ at p = {p:g} after epoch $t$ of the dense training, all layers "
        "together. Independent weights give p."
    )
    measured = subject.rows(compare_queries.retention(ids))
    rows = subject.rows(compare_queries.accuracy(ids))
    if len(measured):
        time = chart.choice("Axis of time", _AXES, "overlap_time_axis", label_visibility="collapsed")
        curves = _chart(subject, rates, p, spread, time)
        chart.legend_of(curves)
        chart.show(curves, "overlap-time")
    if missing := retention.unmeasured(rows[rows["start"] == "dense"], measured):
        st.caption(missing)


@cached(chart.subject_results, max_entries=32, shared=True)
def _chart(subject: Subject, rates: tuple[float, ...], p: float, spread: Spread, time: Time) -> Chart:
    rows = subject.rows(compare_queries.retention((subject.study_id,)))
    return retention.over_time(subject, rows, rates, p, spread, time)
