"""The learning rate sweep of a comparison: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app import words
from app.charts.chart import Chart, Numbers, file_name
from app.charts.marks import CHANCE, rate_looks, rate_name
from app.charts.palette import STARTS, Look, series
from app.charts.picture import Legend
from app.charts.points import at_p, band_words
from app.charts.vega import Spec
from app.compare import controls, sweep_chart
from app.compare.overlap import VARIANT, title
from app.compare.points import comparable, filtered, means, rest_looks
from app.compare.state import CompareState, results
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached

# Starts differ at this sparsity, in the paper and elsewhere, so the sweep begins with the nearest one.
USUAL = 0.8
# The quantities of the panels by their keys, in their order on the page.
PANELS = {
    "sweep-accuracy": "Test accuracy",
    "sweep-overlap": "Overlap of initial and trained weights",
    "sweep-gap": "Winning ticket minus random reinit",
}


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the three panels, and the chart of gap against overlap."""
    pruned = filtered(rows, state)
    pruned = pruned[pruned["start"] != "dense"]
    dense = compare_queries.pooled(state.studies, ("initial_pretrained",))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_sweep_choices"):
        state = _choices(state, pruned)
        if len(dense):
            state = replace(state, p=controls.p(state, sorted(dense["p"].unique())))
        controls.spread(state)
        controls.measure(state)
    sweep = _sweep(replace(state, point="", zoom=None))
    st.subheader("By learning rate", anchor=False)
    at = (
        f"{words.pruner(state.pruner)}, sparsity {words.percent(state.sparsity)}"
        if state.sparsity
        else "no pruned network"
    )
    st.caption(
        rf"From above: accuracy of each start ({at}) and of the dense network; overlap ratio "
        r"$R_p(\theta_0, \theta_T)$; winning ticket minus random reinit of the same seed and mask."
    )
    bands = f"{band_words(state.spread)}; {sweep_chart.BAND}"
    if len(sweep.rests) > 1:
        chart.legend_row([replace(look, shape="stroke", dash=()) for look in sweep.starts], bands)
        chart.legend_row([*sweep.rests, CHANCE])
    else:
        chart.legend_row([*sweep.starts, CHANCE], bands)
    with st.container(gap="xsmall", key="compare_sweep"):
        for key, quantity in PANELS.items():
            if key in sweep.panels:
                chart.show(sweep.panels[key], f"compare-{key}")
            else:
                st.caption(f"{quantity}: no result passes the filters yet.")
    _gap_against_overlap(sweep)


def _choices(state: CompareState, pruned: pd.DataFrame) -> CompareState:
    """Return the state with the pruner and sparsity that the reader chooses; "" and None without pruned networks."""
    pruners = list(dict.fromkeys(pruned["pruner"].dropna()))
    if not pruners:
        return replace(state, pruner="", sparsity=None)
    pruner = state.pruner if state.pruner in pruners else pruners[0]
    sparsities = sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique())
    requested = USUAL if state.sparsity is None else state.sparsity
    sparsity = min(sparsities, key=lambda value: (abs(value - requested), value))
    if len(pruners) > 1:
        st.selectbox("Pruner", pruners, format_func=words.pruner, width=210, **controls.bound("pruner", pruner))
    if len(sparsities) > 1:
        st.selectbox(
            "Sparsity", sparsities, format_func=words.percent, width=130, **controls.bound("sparsity", sparsity)
        )
    return replace(state, pruner=pruner, sparsity=sparsity)


def _gap_against_overlap(sweep: "Sweep") -> None:
    st.subheader("Gap against overlap", anchor=False)
    if sweep.gap_against_overlap is None:
        st.info("Needs winning-ticket and random-reinit runs of the same seed, and the dense network's overlap.")
        return
    st.caption(
        "One point for each network, dataset, learning rate and seed: winning ticket minus random reinit against how "
        rf"far the dense network's weights still overlap the initial ones. n = {sweep.pairs}. "
        "Solid rule: no gap; dashed rule: independent weights."
    )
    chart.legend_row([*sweep.rates, *(sweep.networks if len(sweep.networks) > 1 else [])])
    chart.show(sweep.gap_against_overlap, "compare-thesis")


@dataclass(frozen=True)
class Sweep:
    """The charts of a learning rate sweep and the looks of their legends.

    panels: the charts by their keys in PANELS; a panel without rows is absent. starts, rests: the looks of the panels.
    pairs: the number of points of the gap against overlap; rates, networks: the looks of their colours and shapes.
    """

    panels: dict[str, Chart]
    gap_against_overlap: Chart | None
    starts: list[Look]
    rests: list[Look]
    pairs: int
    rates: list[Look]
    networks: list[Look]


@cached(results, max_entries=32, shared=True)
def _sweep(state: CompareState) -> Sweep:
    all_accuracies = comparable(compare_queries.accuracy(state.studies), studies=False)
    rows = _with_variant(filtered(all_accuracies, replace(state, pruners=())))
    is_pruned = (rows["pruner"] == state.pruner) & (rows["sparsity"] == state.sparsity)
    accuracies = rows[is_pruned | (rows["start"] == "dense")]
    ratios = comparable(compare_queries.pooled(state.studies, ("initial_pretrained",)), studies=False)
    ratios = _with_variant(filtered(ratios, replace(state, pruners=(), starts=())))
    ratios = at_p(ratios, state.p).dropna(subset=["ratio"])
    # The gap needs both starts, even where the filters hide one of them.
    paired = _with_variant(filtered(all_accuracies, replace(state, pruners=(), starts=())))
    paired = paired[(paired["pruner"] == state.pruner) & (paired["sparsity"] == state.sparsity)]
    gaps = sweep_chart.gaps(paired.assign(accuracy=paired[state.measure]))
    rests = rest_looks(list(dict.fromkeys([*accuracies["rest"], *ratios["rest"]])))
    rates = sorted(float(rate) for rate in accuracies["learning_rate"].unique())
    starts = [look for start, look in STARTS.items() if start in set(accuracies["start"])]
    legend = Legend((*starts, *rests.values()), band_words(state.spread))

    def panel(key: str, spec: Spec, numbers: Numbers) -> Chart:
        title = f"{PANELS[key]} by learning rate"
        return Chart(file_name("compare", key), spec, title, f"{title}.", numbers, legend=legend)

    panels = {}
    if len(accuracies):
        spec = sweep_chart.accuracy(accuracies, rests, rates, state.measure, state.spread)
        by = ["start", "learning_rate", "pruner", "sparsity"]
        panels["sweep-accuracy"] = panel("sweep-accuracy", spec, means(accuracies, state.measure, by, state.spread))
    if len(ratios):
        spec = sweep_chart.overlap(ratios, rests, rates, state.p, state.spread)
        panels["sweep-overlap"] = panel(
            "sweep-overlap", spec, means(ratios, "ratio", ["learning_rate", "p"], state.spread)
        )
    if len(gaps):
        spec = sweep_chart.gap(gaps, rests, rates)
        panels["sweep-gap"] = panel("sweep-gap", spec, means(gaps, "gap", ["rest", "learning_rate"], "ci"))

    # `base`, the recipe without pruning rounds, is the same for a pair and its dense network.
    keys = ["base", "dataset", "network", "learning_rate", "seed"]
    points = gaps.merge(ratios[[*keys, "ratio"]].drop_duplicates(keys), on=keys)
    points["name"] = points["learning_rate"].map(rate_name)
    points["network"] = points["network"].map(words.network)
    all_rates = rate_looks([float(rate) for rate in all_accuracies["learning_rate"].unique()])
    all_networks = series(dict.fromkeys(all_accuracies["network"].map(words.network)))
    networks = [
        replace(look, dash=(), colour=STARTS["dense"].colour)
        for name, look in all_networks.items()
        if name in set(points["network"])
    ]
    colours = [
        replace(look, dash=(), shape="stroke" if len(networks) > 1 else look.shape)
        for name, look in all_rates.items()
        if name in set(points["name"])
    ]
    gap_against_overlap = None
    if len(points):
        title = "Winning ticket minus random reinit against overlap, one point a seed"
        numbers = points.drop(columns=["name", "rest"]).rename(columns={"ratio": f"overlap_p_{state.p:g}"})
        gap_against_overlap = Chart(
            name=file_name("compare", "gap-against-overlap"),
            spec=sweep_chart.gap_against_overlap(points, all_rates, all_networks, state.p),
            title=title,
            alt=f"{title}.",
            numbers=lambda: numbers,
            about=f"p = {state.p:g}",
            legend=Legend((*colours, *networks)),
        )
    return Sweep(panels, gap_against_overlap, starts, list(rests.values()), len(points), colours, networks)


def _with_variant(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the column `rest`, their variant in words."""
    return rows.assign(rest=[title(values) for values in rows[VARIANT].itertuples(index=False, name=None)])
