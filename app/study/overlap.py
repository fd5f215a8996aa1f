"""The Overlap tab: how far the largest weights coincide, by p, by sparsity and by layer."""

from typing import cast

import pandas as pd
import streamlit as st

from app import words
from app.charts import overlap as charts
from app.charts.overlap import Across
from app.charts.palette import ramp
from app.charts.points import Spread, band
from app.components import chart as drawing
from app.components import divergence
from app.export import named
from app.state import queries
from app.state.cache import cached
from app.study import ancestors, retention
from data.queries.studies import StudyRecord
from engine.study.spec import Study

# Maps of layers by p side by side; each has a cell for every layer and p.
MOST_MAPS = 2


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    study_id, study = record.study_id, record.study
    pooled = queries.pooled_overlaps(study_id)
    diverged = queries.divergences(study_id)
    if pooled.empty:
        divergence.nothing(
            diverged, "No overlap has been measured yet. The first comes with the first dense network that finishes."
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="overlap_choices"):
        dataset, network = drawing.place_choice(pooled, "overlap")
        p = _p(study)
        spread = drawing.spread_choice("overlap_spread")
    divergence.note(diverged)
    rows = _rows(study_id, dataset, network)
    _retention(record, dataset, network, rows, spread, p)
    retention.section(record, dataset, network, p, spread)
    pruners = _starts(record, dataset, network, rows, spread, p)
    ancestors.section(record, dataset, network, pruners, p, spread)
    rates = sorted(rows[rows["pair"] == "initial_pretrained"]["learning_rate"].unique())
    _layers(record, rates, dataset, network, p)


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


def _retention(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame, spread: Spread, p: float) -> None:
    study_id, study = record.study_id, record.study
    st.subheader("What training keeps of the initial weights", anchor=False)
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of the dense network before and after training, all layers together: "
        "the share of the largest p of the weights that are the same before and after. Independent weights give p."
    )
    chart, figures = st.columns([5, 3], gap="large")
    with chart:
        looks = charts.rate_looks(study.learning_rates)
        drawing.legend_row([*looks.values(), charts.CHANCE], band(spread))
        spec = _drawn_retention(study_id, dataset, network, spread, study.learning_rates)
        alt = "Overlap of initial and trained weights against p, by learning rate."
        drawing.show(spec, "overlap-retention", alt, named.retention(record, dataset, network, rows, spread))
    with figures:
        st.markdown(f"**At p = {p:g}**, mean ± standard deviation")
        table = _retention_table(study_id, dataset, network, p)
        drawing.table(table, "overlap_retention_frame")
        recipe = study.recipe
        st.markdown(
            f"Weight decay {words.number(recipe.weight_decay)}, T = {words.plural(recipe.epochs, 'epoch')}: both take "
            "part in how much of the initial weights is left.",
            help="Each step scales every weight by 1 − learning rate × weight decay before the gradient acts, so one "
            "recipe shrinks the initial values more at a higher learning rate.",
        )


def _starts(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame, spread: Spread, p: float) -> list[str]:
    """Draw the section, and return the pruners of its panels."""
    study_id, study = record.study_id, record.study
    st.subheader("Starts against the fine-tuned network", anchor=False)
    st.caption(
        r"Overlap ratio of winning ticket ($\theta_0\odot m$) and random reinit ($\theta_0'\odot m$) with the "
        r"fine-tuned network $(\theta_T\odot m)_T$ under one mask $m$. Only kept weights are ranked; independent "
        "weights give p."
    )
    finished = _compared(study_id, dataset, network, p)
    if not finished:
        st.info(_no_finetune(study))
        return []
    drawing.legend_row([*charts.compared_looks(), charts.CHANCE], band(spread))
    # The section below has a panel for each of these too.
    pruners = drawing.panel_pruners(study.pruners, 2 * len(study.learning_rates), "overlap_pruner")
    panels = [(pruner, rate) for pruner in pruners for rate in sorted(study.learning_rates)]

    def cell(index: int) -> None:
        pruner, rate = panels[index]
        title = f"Learning rate {words.number(rate)} · {words.pruner(pruner)}"
        st.markdown(f"**{words.plain(title)}**")
        if (pruner, rate) not in finished:
            st.caption(f"No fine-tuning has finished{'' if record.state in queries.FINISHED else ' yet'}.")
            return
        spec = _drawn_starts(study_id, dataset, network, pruner, rate, p, spread)
        alt = f"Overlap with the fine-tuned network against sparsity, {title}."
        saving = named.starts(record, dataset, network, pruner, rate, p, rows, spread)
        drawing.show(spec, f"overlap-starts-{index}", alt, saving)

    drawing.grid(len(panels), min(len(study.learning_rates), 3), cell)
    return pruners


def _no_finetune(study: Study) -> str:
    if "finetune" not in study.starts:
        return "This study has no fine-tune start, which these overlaps are measured against."
    return "No fine-tuning has finished yet."


def _layers(record: StudyRecord, rates: list[float], dataset: str, network: str, p: float) -> None:
    study_id = record.study_id
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
    if across == "learning_rate":
        shown: list[float | None] = [None]
    elif len(rates) <= MOST_MAPS:
        shown = [*rates]
    else:
        shown = [
            st.selectbox(
                "Learning rate",
                rates,
                format_func=words.number,
                key="overlap_map_rate",
                persist_state="page",
                width=200,
            )
        ]

    def cell(index: int) -> None:
        rate = shown[index]
        title = f"p = {p:g}" if rate is None else f"Learning rate {words.number(rate)}"
        st.markdown(f"**{words.plain(title)}**")
        # With p across, a map is the same for every p.
        held = p if rate is None else None
        spec, counts = _drawn_layers(study_id, dataset, network, held, rate)
        alt = f"Overlap of initial and trained weights by layer, {title}."
        saving = named.layers(record, dataset, network, title, counts)
        drawing.show(spec, f"overlap-layers-{index}", alt, saving)

    drawing.grid(len(shown), min(len(shown), 2), cell)


@cached(queries.measured, max_entries=32, shared=True)
def _drawn_retention(
    study_id: str, dataset: str, network: str, spread: Spread, rates: tuple[float, ...]
) -> drawing.Spec:
    return drawing.spec(charts.retention(_rows(study_id, dataset, network), rates, spread))


@cached(queries.measured, max_entries=64, shared=True)
def _drawn_starts(
    study_id: str, dataset: str, network: str, pruner: str, rate: float, p: float, spread: Spread
) -> drawing.Spec:
    return charts.starts(_compared(study_id, dataset, network, p)[pruner, rate], p, spread)


@cached(queries.measured, max_entries=32, shared=True)
def _drawn_layers(
    study_id: str, dataset: str, network: str, p: float | None, rate: float | None
) -> tuple[drawing.Spec, pd.DataFrame]:
    """Return the map at one p with learning rates across, or of one learning rate with p across; and its counts."""
    layers = queries.overlaps(study_id)
    layers = layers[(layers["dataset"] == dataset) & (layers["network"] == network)]
    if rate is not None:
        counts = layers[layers["learning_rate"] == rate]
        return drawing.spec(charts.layer_map(counts, "p")), counts
    assert p is not None
    counts = layers[layers["p"].round(4) == round(p, 4)]
    return drawing.spec(charts.layer_map(counts, "learning_rate")), counts


@cached(queries.measured, max_entries=32)
def _retention_table(study_id: str, dataset: str, network: str, p: float) -> pd.DataFrame:
    return charts.retention_table(_rows(study_id, dataset, network), p)


# All callers share one frame, since thousands of rows are looked through for every panel: it must not be changed.
@cached(queries.measured, max_entries=8, shared=True)
def _rows(study_id: str, dataset: str, network: str) -> pd.DataFrame:
    pooled = queries.pooled_overlaps(study_id)
    return pooled[(pooled["dataset"] == dataset) & (pooled["network"] == network)]


@cached(queries.measured, max_entries=32, shared=True)
def _compared(study_id: str, dataset: str, network: str, p: float) -> dict[tuple[str, float], pd.DataFrame]:
    """Return the overlaps of starts with fine-tuned networks at one p, by pruner and learning rate."""
    rows = _rows(study_id, dataset, network)
    pairs = rows["pair"].isin(["ticket_finetuned", "reinit_finetuned"])
    found = rows[pairs & (rows["p"].round(4) == round(p, 4))]
    return {(str(pruner), float(rate)): part for (pruner, rate), part in found.groupby(["pruner", "learning_rate"])}
