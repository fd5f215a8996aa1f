"""Of the Overlap tab: the fine-tuned network against the dense networks before it, as charts and as a table."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from app import words
from app.charts import ancestors as charts
from app.charts import overlap
from app.charts.points import Spread, band
from app.components import chart
from app.export import named
from app.state import queries
from app.state.cache import cached
from data.queries.studies import StudyRecord


def section(record: StudyRecord, dataset: str, network: str, pruners: Sequence[str], p: float, spread: Spread) -> None:
    """Draw the section; pruners: those whose panels are drawn, the table has all."""
    study_id, study = record.study_id, record.study
    st.subheader("The fine-tuned network against its dense ancestors", anchor=False)
    st.caption(
        rf"Overlap ratio at p = {p:g} of $(\theta_T\odot m)_T$ with the initial weights $\theta_0$ and with the "
        r"trained dense weights $\theta_T$. All weights are ranked, so only sparsities up to 1 − p are here. "
        f"{charts.EXPLAINED}"
    )
    found = _by_panel(study_id, dataset, network, p)
    if not found:
        st.info(f"No fine-tuned network of a sparsity up to {words.percent(1 - p)} has finished; choose a smaller p.")
    else:
        panels = [(pruner, rate) for pruner in pruners for rate in sorted(study.learning_rates)]
        panels = [panel for panel in panels if panel in found]
        chart.legend_row(charts.looks(), band(spread))

        def cell(index: int) -> None:
            pruner, rate = panels[index]
            title = f"Learning rate {words.number(rate)} · {words.pruner(pruner)}"
            st.markdown(f"**{words.plain(title)}**")
            spec = _drawn(study_id, dataset, network, pruner, rate, p, spread)
            alt = (
                f"Overlap of the fine-tuned network with its dense ancestors against sparsity, {title}, with the "
                f"{charts.LEVEL}; the numbers stand in the table below."
            )
            saving = named.ancestors(record, dataset, network, pruner, rate, p, found[pruner, rate], spread)
            chart.show(spec, f"overlap-ancestors-{index}", alt, saving)

        chart.grid(len(panels), min(len(study.learning_rates), 3), cell)
        st.caption("Mean ± standard deviation over n seeds.")
        with st.container(key="overlap_table"):
            chart.table(_table(study_id, dataset, network, p), "overlap_frame")
        if lacking := charts.missing(pd.concat(found.values())):
            st.caption(lacking)
    st.download_button(
        "All overlaps as CSV",
        partial(_csv, queries.pooled_overlaps(study_id)),
        f"{study_id}-overlap.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="overlap_csv",
    )


@cached(queries.measured, max_entries=32, shared=True)
def _by_panel(study_id: str, dataset: str, network: str, p: float) -> dict[tuple[str, float], pd.DataFrame]:
    """Return the overlaps with dense networks at one p, by pruner and learning rate."""
    pooled = queries.pooled_overlaps(study_id)
    rows = charts.at(pooled[(pooled["dataset"] == dataset) & (pooled["network"] == network)], p)
    return {(str(pruner), float(rate)): part for (pruner, rate), part in rows.groupby(["pruner", "learning_rate"])}


@cached(queries.measured, max_entries=64, shared=True)
def _drawn(study_id: str, dataset: str, network: str, pruner: str, rate: float, p: float, spread: Spread) -> chart.Spec:
    return charts.chart(_by_panel(study_id, dataset, network, p)[pruner, rate], p, spread)


@cached(queries.measured, max_entries=32)
def _table(study_id: str, dataset: str, network: str, p: float) -> pd.DataFrame:
    return charts.table(pd.concat(_by_panel(study_id, dataset, network, p).values()), p)


def _csv(pooled: pd.DataFrame) -> str:
    return str(overlap.numbers(pooled).to_csv(index=False))
