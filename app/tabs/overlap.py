"""The Overlap tab: how far the largest weights coincide, by p, by sparsity and by layer."""

from typing import cast

import pandas as pd
import streamlit as st

from app import charts_overlap as charts
from app import drawing, reading, words
from app.charts_overlap import Across
from app.palette import ramp
from app.reading import Marker
from app.spread import SPREADS, Spread
from data.queries import StudyRecord
from engine.spec import Study


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    study_id, study = record.study_id, record.study
    pooled = reading.pooled_overlaps(study_id)
    if pooled.empty:
        st.info("No overlap has been measured yet. The first comes with the first dense network that finishes.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="overlap_choices"):
        dataset = drawing.choice("Dataset", sorted(pooled["dataset"].unique()), "overlap_dataset")
        network = drawing.choice("Network", sorted(pooled["network"].unique()), "overlap_network")
        p = _p(study)
        spread = drawing.spread_choice("overlap_spread")
    rows = pooled[(pooled["dataset"] == dataset) & (pooled["network"] == network)]
    band = "± " * (spread != "range") + f"{SPREADS[spread]} over seeds"
    _retention(study_id, study, dataset, network, spread, band, p)
    _starts(study_id, study, dataset, network, rows, spread, band, p)
    _ancestors(study_id, dataset, network, p)
    _layers(study_id, study, dataset, network, p)


def _p(study: Study) -> float:
    options = list(study.overlap_p)
    near = min(options, key=lambda p: abs(p - 0.2))
    return float(
        st.select_slider(
            "p, fraction of largest weights", options, near, key="overlap_p", persist_state="page", width=280
        )
        if len(options) > 1
        else near
    )


def _retention(study_id: str, study: Study, dataset: str, network: str, spread: Spread, band: str, p: float) -> None:
    st.subheader("What training keeps of the initial weights", anchor=False)
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of the dense network before and after training, all layers together: "
        "the share of the largest p of the weights that are the same before and after. Independent weights give p."
    )
    chart, figures = st.columns([5, 3], gap="large")
    with chart:
        looks = charts.rate_looks(study.learning_rates)
        drawing.legend_row([*looks.values(), charts.CHANCE], band)
        spec = _drawn_retention(study_id, dataset, network, spread, study.learning_rates, reading.measured(study_id))
        drawing.show(spec, "overlap-retention", "Overlap of initial and trained weights against p, by learning rate.")
    with figures:
        st.markdown(f"**At p = {p:g}**, mean ± standard deviation")
        table = _retention_table(study_id, dataset, network, p, reading.measured(study_id))
        drawing.table(table, "overlap_retention_frame")
        recipe = study.recipe
        st.markdown(
            f"Weight decay {words.number(recipe.weight_decay)} with T = {words.plural(recipe.epochs, 'epoch')} decides "
            "how much of the initialisation is forgotten.",
            help="Each step scales every weight by 1 − learning rate × weight decay before the gradient acts, so one "
            "recipe shrinks the initial values more at a higher learning rate.",
        )


def _starts(
    study_id: str, study: Study, dataset: str, network: str, rows: pd.DataFrame, spread: Spread, band: str, p: float
) -> None:
    st.subheader("Starts against the fine-tuned network", anchor=False)
    st.caption(
        r"Overlap ratio of winning ticket ($\theta_0\odot m$) and random reinit ($\theta_0'\odot m$) with the "
        r"fine-tuned network $(\theta_T\odot m)_T$ under one mask $m$. Only kept weights are ranked; independent "
        "weights give p."
    )
    pruned = rows[rows["pair"].isin(["ticket_finetuned", "reinit_finetuned"])]
    if pruned.empty:
        st.info(_no_finetune(study))
        return
    drawing.legend_row([*charts.compared_looks(), charts.CHANCE], band)
    panels = [(pruner, rate) for pruner in study.pruners for rate in sorted(study.learning_rates)]

    def cell(index: int) -> None:
        pruner, rate = panels[index]
        title = f"Learning rate {words.number(rate)} · {words.pruner(pruner)}"
        st.markdown(f"**{title}**")
        if pruned[(pruned["pruner"] == pruner) & (pruned["learning_rate"] == rate)].empty:
            st.caption("No fine-tuning has finished yet.")
            return
        spec = _drawn_starts(study_id, dataset, network, pruner, rate, p, spread, reading.measured(study_id))
        drawing.show(spec, f"overlap-starts-{index}", f"Overlap with the fine-tuned network against sparsity, {title}.")

    drawing.grid(len(panels), min(len(study.learning_rates), 3), cell)


def _no_finetune(study: Study) -> str:
    if "finetune" not in study.starts:
        return "This study has no fine-tune start, which these overlaps are measured against."
    return "No fine-tuning has finished yet."


def _ancestors(study_id: str, dataset: str, network: str, p: float) -> None:
    table = _table(study_id, dataset, network, p, reading.measured(study_id))
    st.subheader("The fine-tuned network against its dense ancestors", anchor=False)
    st.caption(
        rf"Overlap ratio at p = {p:g} of $(\theta_T\odot m)_T$ with the initial weights $\theta_0$ and with the "
        r"trained dense weights $\theta_T$: mean ± standard deviation over n seeds. All weights are ranked, so only "
        "sparsities up to 1 − p have a row."
    )
    if table.empty:
        st.info(f"No fine-tuned network of a sparsity up to {words.percent(1 - p)} has finished; choose a smaller p.")
    else:
        with st.container(key="overlap_table"):
            drawing.table(table, "overlap_frame")
    st.download_button(
        "All overlaps as CSV",
        _csv(study_id, reading.measured(study_id)),
        f"{study_id}-overlap.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="overlap_csv",
    )


def _layers(study_id: str, study: Study, dataset: str, network: str, p: float) -> None:
    st.subheader("Layer by layer", anchor=False)
    across = cast(
        Across,
        st.segmented_control(
            "Across",
            ["p", "learning_rate"],
            default="p",
            required=True,
            format_func={"p": "p", "learning_rate": f"learning rates at p = {p:g}"}.__getitem__,
            key="overlap_across",
            persist_state="page",
            label_visibility="collapsed",
        ),
    )
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of each prunable layer, mean over seeds. Independent weights give p "
        "in every layer; layers stand in network order, the input on top."
    )
    st.html(ramp("0", "1"))
    maps = _drawn_layers(study_id, dataset, network, across, p, reading.measured(study_id))

    def cell(index: int) -> None:
        title, spec = maps[index]
        st.markdown(f"**{title}**")
        drawing.show(spec, f"overlap-layers-{index}", f"Overlap of initial and trained weights by layer, {title}.")

    drawing.grid(len(maps), min(len(study.learning_rates), 2) if across == "p" else 1, cell)


@st.cache_resource(ttl=reading.KEEP, max_entries=32, show_spinner=False)
def _drawn_retention(
    study_id: str, dataset: str, network: str, spread: Spread, rates: tuple[float, ...], changed: Marker
) -> drawing.Spec:
    del changed
    return drawing.spec(charts.retention(_rows(study_id, dataset, network), rates, spread))


@st.cache_resource(ttl=reading.KEEP, max_entries=64, show_spinner=False)
def _drawn_starts(
    study_id: str, dataset: str, network: str, pruner: str, rate: float, p: float, spread: Spread, changed: Marker
) -> drawing.Spec:
    del changed
    rows = _rows(study_id, dataset, network)
    return drawing.spec(charts.starts(rows[(rows["pruner"] == pruner) & (rows["learning_rate"] == rate)], p, spread))


@st.cache_resource(ttl=reading.KEEP, max_entries=32, show_spinner=False)
def _drawn_layers(
    study_id: str, dataset: str, network: str, across: Across, p: float, changed: Marker
) -> list[tuple[str, drawing.Spec]]:
    del changed
    layers = reading.overlaps(study_id)
    layers = layers[(layers["dataset"] == dataset) & (layers["network"] == network)]
    if across == "learning_rate":
        shown = layers[layers["p"].round(4) == round(p, 4)]
        return [(f"p = {p:g}", drawing.spec(charts.layer_map(shown, across)))]
    return [
        (f"Learning rate {words.number(rate)}", drawing.spec(charts.layer_map(shown, across)))
        for rate, shown in layers.groupby("learning_rate")
    ]


@st.cache_data(ttl=reading.KEEP, max_entries=32, show_spinner=False)
def _retention_table(study_id: str, dataset: str, network: str, p: float, changed: Marker) -> pd.DataFrame:
    del changed
    return charts.retention_table(_rows(study_id, dataset, network), p)


@st.cache_data(ttl=reading.KEEP, max_entries=32, show_spinner=False)
def _table(study_id: str, dataset: str, network: str, p: float, changed: Marker) -> pd.DataFrame:
    del changed
    return charts.table(_rows(study_id, dataset, network), p)


@st.cache_data(ttl=reading.KEEP, max_entries=4, show_spinner=False)
def _csv(study_id: str, changed: Marker) -> str:
    del changed
    return str(charts.numbers(reading.pooled_overlaps(study_id)).to_csv(index=False))


def _rows(study_id: str, dataset: str, network: str) -> pd.DataFrame:
    pooled = reading.pooled_overlaps(study_id)
    return pooled[(pooled["dataset"] == dataset) & (pooled["network"] == network)]
