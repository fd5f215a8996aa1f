"""Of the Overlap tab: how much of the initial weights is left, epoch by epoch of the dense training."""

import streamlit as st

from app.charts import overlap, retention
from app.charts.points import Spread, band
from app.charts.retention import Time
from app.components import chart
from app.export import named
from app.state import compare_queries
from app.state.cache import cached
from data.queries.studies import StudyRecord


def section(record: StudyRecord, dataset: str, network: str, p: float, spread: Spread) -> None:
    """Draw R_p(θ₀, θ_t) over training time, or say that it was not measured."""
    ids, rates = (record.study_id,), record.study.learning_rates
    st.subheader("Over training time", anchor=False)
    st.caption(
        rf"Overlap ratio $R_p(\theta_0, \theta_t)$ at p = {p:g} after epoch $t$ of the dense training, all layers "
        "together. Independent weights give p."
    )
    found = compare_queries.retention(ids)
    here = found[(found["dataset"] == dataset) & (found["network"] == network)]
    rows = compare_queries.accuracy(ids)
    dense = rows[(rows["start"] == "dense") & (rows["dataset"] == dataset) & (rows["network"] == network)]
    if len(here):
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
        looks = (*overlap.rate_looks(rates).values(), overlap.CHANCE)
        chart.legend_row(looks, band(spread))
        spec = _drawn(ids, dataset, network, rates, p, spread, time)
        saving = named.over_time(record, dataset, network, p, here, spread)
        chart.show(spec, "overlap-time", f"{saving.title}.", saving)
    if lacking := retention.without(dense, here):
        st.caption(lacking)


@cached(compare_queries.marker, max_entries=32, shared=True)
def _drawn(
    ids: tuple[str, ...], dataset: str, network: str, rates: tuple[float, ...], p: float, spread: Spread, time: Time
) -> chart.Spec:
    found = compare_queries.retention(ids)
    here = found[(found["dataset"] == dataset) & (found["network"] == network)]
    return chart.spec(retention.over_time(here, rates, p, spread, time))
