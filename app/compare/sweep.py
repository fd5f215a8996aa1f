"""The learning rate sweep of several studies: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app import words
from app.charts.chart import Chart, Numbers, file_name
from app.charts.marks import CHANCE, rate_looks, rate_name
from app.charts.palette import STARTS, Look, series
from app.charts.picture import Legend
from app.charts.points import band_words
from app.charts.vega import Spec
from app.compare import controls, sweep_chart
from app.compare.overlap import VARIANT, title
from app.compare.points import apart, chosen, means, rest_looks
from app.compare.state import CompareState, results
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached

# A sparsity at which starts have begun to differ, in the paper and elsewhere: the nearest one is shown at first.
USUAL = 0.8
# The panels from above, by their key: what each shows by learning rate.
PANELS = {
    "sweep-accuracy": "Test accuracy",
    "sweep-overlap": "Overlap of initial and trained weights",
    "sweep-gap": "Winning ticket minus random reinit",
}


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the three panels and the picture of gap against overlap."""
    pruned = chosen(rows, state)
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
                st.caption(f"{quantity}: no result yet, or none that passes the filters.")
    _gap_against_overlap(sweep)


def _choices(state: CompareState, pruned: pd.DataFrame) -> CompareState:
    """Let the reader choose a pruner and a sparsity; return the state with them, None where there is none."""
    pruners = list(dict.fromkeys(pruned["pruner"].dropna()))
    if not pruners:
        return replace(state, pruner="", sparsity=None)
    pruner = state.pruner if state.pruner in pruners else pruners[0]
    sparsities = sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique())
    wanted = USUAL if state.sparsity is None else state.sparsity
    sparsity = min(sparsities, key=lambda value: (abs(value - wanted), value))
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

    panels: by their key in PANELS, without those that have no rows. starts, rests: of the panels. pairs: how many
    points the gap against overlap has; rates, networks: the looks of their colours and shapes.
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
    everything = apart(compare_queries.accuracy(state.studies), studies=False)
    rows = _with_variant(chosen(everything, replace(state, pruners=())))
    at = (rows["pruner"] == state.pruner) & (rows["sparsity"] == state.sparsity)
    shown = rows[at | (rows["start"] == "dense")]
    ratios = apart(compare_queries.pooled(state.studies, ("initial_pretrained",)), studies=False)
    ratios = _with_variant(chosen(ratios, replace(state, pruners=(), starts=())))
    ratios = ratios[ratios["p"].round(4) == round(state.p, 4)].dropna(subset=["ratio"])
    # The gap needs both starts, whichever of them the filters show above.
    paired = _with_variant(chosen(everything, replace(state, pruners=(), starts=())))
    paired = paired[(paired["pruner"] == state.pruner) & (paired["sparsity"] == state.sparsity)]
    gaps = sweep_chart.gaps(paired.assign(accuracy=paired[state.measure]))
    rests = rest_looks(list(dict.fromkeys([*shown["rest"], *ratios["rest"]])))
    rates = sorted(float(rate) for rate in shown["learning_rate"].unique())
    starts = [look for start, look in STARTS.items() if start in set(shown["start"])]
    legend = Legend((*starts, *rests.values()), band_words(state.spread))

    def panel(key: str, spec: Spec, numbers: Numbers) -> Chart:
        title = f"{PANELS[key]} by learning rate"
        return Chart(file_name("compare", key), spec, title, f"{title}.", numbers, legend=legend)

    panels = {}
    if len(shown):
        spec = sweep_chart.accuracy(shown, rests, rates, state.measure, state.spread)
        by = ["start", "learning_rate", "pruner", "sparsity"]
        panels["sweep-accuracy"] = panel("sweep-accuracy", spec, means(shown, state.measure, by, state.spread))
    if len(ratios):
        spec = sweep_chart.overlap(ratios, rests, rates, state.p, state.spread)
        panels["sweep-overlap"] = panel(
            "sweep-overlap", spec, means(ratios, "ratio", ["learning_rate", "p"], state.spread)
        )
    if len(gaps):
        spec = sweep_chart.gap(gaps, rests, rates)
        panels["sweep-gap"] = panel("sweep-gap", spec, means(gaps, "gap", ["rest", "learning_rate"], "ci"))

    # A pair's dense network is of the same recipe, however its masks were made.
    keys = ["base", "dataset", "network", "learning_rate", "seed"]
    points = gaps.merge(ratios[[*keys, "ratio"]].drop_duplicates(keys), on=keys)
    points["name"] = points["learning_rate"].map(rate_name)
    points["network"] = points["network"].map(words.network)
    all_rates = rate_looks([float(rate) for rate in everything["learning_rate"].unique()])
    all_networks = series(dict.fromkeys(everything["network"].map(words.network)))
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
    against = None
    if len(points):
        title = "Winning ticket minus random reinit against overlap, one point a seed"
        numbers = points.drop(columns=["name", "rest"]).rename(columns={"ratio": f"overlap_p_{state.p:g}"})
        against = Chart(
            name=file_name("compare", "gap-against-overlap"),
            spec=sweep_chart.gap_against_overlap(points, all_rates, all_networks, state.p),
            title=title,
            alt=f"{title}.",
            numbers=lambda: numbers,
            about=f"p = {state.p:g}",
            legend=Legend((*colours, *networks)),
        )
    return Sweep(panels, against, starts, list(rests.values()), len(points), colours, networks)


def _with_variant(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their variant in words, in the column `rest`."""
    return rows.assign(rest=[title(values) for values in rows[VARIANT].itertuples(index=False, name=None)])
