"""Of the Overlap tab: how much of the initial weights is left, epoch by epoch of the dense training."""

import streamlit as st

from app import charts_overlap, charts_retention, drawing, export_named, reading_compare
from app.compare_state import Time
from app.reading import KEEP, Marker
from app.spread import Spread, band
from data.queries.studies import StudyRecord


def section(record: StudyRecord, dataset: str, network: str, p: float, spread: Spread) -> None:
    """Draw R_p(θ₀, θ_t) over training time, or say that it was not measured."""
    ids, rates = (record.study_id,), record.study.learning_rates
    st.subheader("Over training time", anchor=False)
    st.caption(
        rf"Overlap ratio $R_p(\theta_0, \theta_t)$ at p = {p:g} after epoch $t$ of the dense training, all layers "
        "together. Independent weights give p."
    )
    marker = reading_compare.marker(ids)
    found = reading_compare.retention(ids)
    here = found[(found["dataset"] == dataset) & (found["network"] == network)]
    rows = reading_compare.accuracy(ids)
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
        looks = (*charts_overlap.rate_looks(rates).values(), charts_overlap.CHANCE)
        drawing.legend_row(looks, band(spread))
        spec = _drawn(ids, dataset, network, rates, p, spread, time, marker)
        saving = export_named.over_time(record, dataset, network, p, here, spread)
        drawing.show(spec, "overlap-time", f"{saving.title}.", saving)
    if lacking := charts_retention.without(dense, here):
        st.caption(lacking)


@st.cache_resource(ttl=KEEP, max_entries=32, show_spinner=False)
def _drawn(
    ids: tuple[str, ...],
    dataset: str,
    network: str,
    rates: tuple[float, ...],
    p: float,
    spread: Spread,
    time: Time,
    changed: Marker,
) -> drawing.Spec:
    del changed
    found = reading_compare.retention(ids)
    here = found[(found["dataset"] == dataset) & (found["network"] == network)]
    return drawing.spec(charts_retention.over_time(here, rates, p, spread, time))
