"""The Overlap tab: overlap ratios by p, by training time, by sparsity and by layer."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import telling
from app.charts import overlap
from app.charts.chart import Chart, Subject
from app.charts.overlap import Across
from app.charts.palette import ramp
from app.charts.points import Spread, near_p
from app.charts.retention import by_p, table
from app.components import chart, divergence
from app.state import address, queries
from app.state.cache import cached
from app.study import ancestors, retention
from data.queries.studies import StudyRecord
from engine.study.spec import Study

# The most maps of layers that are drawn side by side, since each has a cell for every layer and p.
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
        dataset, network = chart.place_choice(pooled, "overlap")
        p = _p(study)
        spread = chart.spread_choice("overlap_spread")
    divergence.note(diverged)
    subject = Subject(study_id, study.name, dataset, network)
    _retention(study, subject, spread, p)
    retention.section(record, subject, p, spread)
    own = subject.rows(queries.accuracy(study_id))
    drawn = chart.panel_rates(sorted(study.learning_rates), telling(own), "overlap_rates")
    pruners = _starts(record, subject, drawn, spread, p)
    ancestors.section(record, subject, pruners, drawn, p, spread)
    rows = _pooled(subject)
    rates = sorted(rows[rows["pair"] == "initial_pretrained"]["learning_rate"].unique())
    _layers(subject, rates, p)


def _p(study: Study) -> float:
    options = list(study.overlap_p)
    near = near_p(options)
    if len(options) < 2:
        return float(near)
    key = address.one("overlap_p", options, near)
    return float(
        st.select_slider("p, fraction of largest weights", options, near, key=key, persist_state="page", width=280)
    )


def _retention(study: Study, subject: Subject, spread: Spread, p: float) -> None:
    st.header("What training keeps of the initial weights", anchor=False)
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of the dense network before and after training, all layers together: "
        "the share of the largest p of the weights that are the same before and after. Independent weights give p."
    )
    left, right = st.columns([5, 3], gap="large")
    with left:
        curves = _by_p(subject, study.learning_rates, spread)
        chart.legend_of(curves)
        chart.show(curves, "overlap-retention")
    with right:
        st.markdown(f"**At p = {p:g}**, mean ± standard deviation")
        chart.table(_table(subject, p), "overlap_retention_frame")
        recipe = study.recipe
        st.markdown(
            f"Weight decay {words.number(recipe.weight_decay)}, T = {words.plural(recipe.epochs, 'epoch')}: both "
            "affect how much of the initial weights is left.",
            help="Each step scales every weight by 1 − learning rate × weight decay before the gradient acts, so the "
            "same recipe shrinks the initial weights more at a higher learning rate.",
        )


def _starts(record: StudyRecord, subject: Subject, rates: Sequence[float], spread: Spread, p: float) -> list[str]:
    """Draw the section on starts at some learning rates, and return the pruners of its panels."""
    study = record.study
    st.header("Starts against the fine-tuned network", anchor=False)
    st.caption(
        r"Overlap ratio of winning ticket ($\theta_0\odot m$) and random reinit ($\theta_0'\odot m$) with the "
        r"fine-tuned network $(\theta_T\odot m)_T$ under one mask $m$. Only kept weights are ranked; independent "
        "weights give p."
    )
    finished = _compared(subject, p)
    if not finished:
        st.info(_no_finetune(study))
        return []
    legend = overlap.starts_legend(spread)
    chart.legend_row(legend.looks, legend.bands)
    # The section on dense ancestors has a panel for each of these too, hence twice the rates.
    pruners = chart.panel_pruners(study.pruners, 2 * len(rates), "overlap_pruner")
    panels = [(pruner, rate) for pruner in pruners for rate in rates]

    def cell(index: int) -> None:
        pruner, rate = panels[index]
        if (pruner, rate) in finished:
            chart.show(_start_panel(subject, pruner, rate, p, spread), f"overlap-starts-{index}")
            return
        chart.caption([overlap.panel_title(pruner, rate)])
        st.caption(f"No fine-tuning has finished{'' if record.state in queries.FINISHED else ' yet'}.")

    chart.grid(len(panels), min(len(rates), chart.columns(len(rates))), cell)
    return pruners


def _no_finetune(study: Study) -> str:
    if "finetune" not in study.starts:
        return "This study has no fine-tune start, which these overlaps are measured against."
    return "No fine-tuning has finished yet."


def _layers(subject: Subject, rates: list[float], p: float) -> None:
    st.header("Layer by layer", anchor=False)
    titles: dict[Across, str] = {"p": "p", "learning_rate": f"learning rates at p = {p:g}"}
    across = chart.choice("Across", titles, "overlap_across", label_visibility="collapsed")
    st.caption(
        r"Overlap ratio $R_p(\theta_0, \theta_T)$ of each prunable layer, mean over seeds. Independent weights give p "
        "in every layer; layers are in network order, the input on top."
    )
    st.html(ramp("0", "1"))
    if across == "learning_rate":
        maps: list[float | None] = [None]
    elif len(rates) <= MOST_MAPS:
        maps = [*rates]
    else:
        maps = [
            st.selectbox(
                "Learning rate",
                rates,
                format_func=words.number,
                key=address.one("overlap_map_rate", rates),
                persist_state="page",
                width=200,
            )
        ]

    def cell(index: int) -> None:
        # A map of one learning rate shows every p, so the chosen p does not change it.
        at = p if maps[index] is None else None
        chart.show(_layer_map(subject, at, maps[index]), f"overlap-layers-{index}")

    chart.grid(len(maps), min(len(maps), 2), cell)


@cached(chart.subject_results, max_entries=32, shared=True)
def _by_p(subject: Subject, rates: tuple[float, ...], spread: Spread) -> Chart:
    return by_p(subject, _pooled(subject), rates, spread)


@cached(chart.subject_results, max_entries=64, shared=True)
def _start_panel(subject: Subject, pruner: str, rate: float, p: float, spread: Spread) -> Chart:
    return overlap.starts(subject, pruner, rate, _compared(subject, p)[pruner, rate], p, spread)


@cached(chart.subject_results, max_entries=32, shared=True)
def _layer_map(subject: Subject, p: float | None, rate: float | None) -> Chart:
    """Return the map at one p with learning rates across, or that of one learning rate with p across."""
    layers = subject.rows(queries.overlaps(subject.study_id))
    if rate is not None:
        return overlap.layer_map(subject, layers[layers["learning_rate"] == rate], "p", rate)
    assert p is not None
    return overlap.layer_map(subject, layers[layers["p"].round(4) == round(p, 4)], "learning_rate", p)


@cached(chart.subject_results, max_entries=32)
def _table(subject: Subject, p: float) -> pd.DataFrame:
    return table(_pooled(subject), p)


# Every panel searches these thousands of rows, so they are shared without a copy: a caller must not change them.
@cached(chart.subject_results, max_entries=8, shared=True)
def _pooled(subject: Subject) -> pd.DataFrame:
    return subject.rows(queries.pooled_overlaps(subject.study_id))


@cached(chart.subject_results, max_entries=32, shared=True)
def _compared(subject: Subject, p: float) -> dict[tuple[str, float], pd.DataFrame]:
    """Return the overlaps of starts with fine-tuned networks at one p, by pruner and learning rate."""
    rows = overlap.compared(_pooled(subject), p)
    return {(str(pruner), float(rate)): part for (pruner, rate), part in rows.groupby(["pruner", "learning_rate"])}
