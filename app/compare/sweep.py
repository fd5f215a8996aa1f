"""The learning rate sweep of several studies: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app import words
from app.charts import overlap
from app.charts.palette import STARTS, Look, series
from app.charts.points import band
from app.compare import controls, sweep_chart
from app.compare import saving as compare_saving
from app.compare.overlap import VARIANT, title
from app.compare.points import apart, chosen, rest_looks
from app.compare.saving import Numbers, means
from app.compare.state import CompareState, results
from app.compare.sweep_chart import gaps
from app.components import chart
from app.state import compare_queries
from app.state.cache import cached

# A sparsity at which starts have begun to differ, in the paper and elsewhere: the nearest one is shown at first.
USUAL = 0.8
KEYS = ("compare-sweep-accuracy", "compare-sweep-overlap", "compare-sweep-gap")


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
    drawn = _drawn(replace(state, point="", zoom=None))
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
    looks = [look for start, look in STARTS.items() if start in drawn.starts]
    bands = band(state.spread)
    if len(drawn.rests) > 1:
        chart.legend_row([replace(look, shape="stroke", dash=()) for look in looks], f"{bands}; {sweep_chart.BAND}")
        chart.legend_row([*drawn.rests.values(), overlap.CHANCE])
    else:
        chart.legend_row([*looks, overlap.CHANCE], f"{bands}; {sweep_chart.BAND}")
    alts = ("Test accuracy", "Overlap of initial and trained weights", "Winning ticket minus random reinit")
    with st.container(gap="xsmall", key="compare_sweep"):
        for key, spec, numbers, alt in zip(KEYS, drawn.panels, drawn.numbers, alts, strict=True):
            if spec is None:
                st.caption(f"{alt}: nothing of it is done yet, or left by the filters.")
            else:
                name = key.removeprefix("compare-")
                saving = compare_saving.chart(
                    name, f"{alt} by learning rate", numbers, [*looks, *drawn.rests.values()], bands
                )
                chart.show(spec, key, f"{alt} by learning rate.", saving)
    _thesis(state, drawn)


def _choices(state: CompareState, pruned: pd.DataFrame) -> CompareState:
    """Let the reader choose a pruner and a sparsity; return the state with those in use, None where there is none."""
    pruners = list(dict.fromkeys(pruned["pruner"].dropna()))
    if not pruners:
        return replace(state, pruner="", sparsity=None)
    pruner = state.pruner if state.pruner in pruners else pruners[0]
    found = sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique())
    wanted = USUAL if state.sparsity is None else state.sparsity
    sparsity = min(found, key=lambda value: (abs(value - wanted), value))
    if len(pruners) > 1:
        st.selectbox("Pruner", pruners, format_func=words.pruner, width=210, **controls.bound("pruner", pruner))
    if len(found) > 1:
        st.selectbox("Sparsity", found, format_func=words.percent, width=130, **controls.bound("sparsity", sparsity))
    return replace(state, pruner=pruner, sparsity=sparsity)


def _thesis(state: CompareState, drawn: "Drawn") -> None:
    st.subheader("Gap against overlap", anchor=False)
    if drawn.thesis is None:
        st.info(
            "This picture needs winning ticket and random reinit of the same seed, and the dense network's overlap."
        )
        return
    st.caption(
        "One point for each network, dataset, learning rate and seed: winning ticket minus random reinit against how "
        rf"far the dense network's weights still overlap the initial ones. n = {len(drawn.points)}. "
        "Solid rule: no gap; dashed rule: independent weights."
    )
    shapes = [replace(look, dash=(), colour=STARTS["dense"].colour) for look in drawn.networks.values()]
    colours = [
        replace(look, dash=(), shape="stroke" if len(shapes) > 1 else look.shape) for look in drawn.rates.values()
    ]
    chart.legend_row([*colours, *(shapes if len(shapes) > 1 else [])])
    alt = "Winning ticket minus random reinit against overlap, one point a seed"
    found = drawn.points
    saving = compare_saving.chart(
        "gap-against-overlap", alt, lambda: found, [*colours, *shapes], "", f"p = {state.p:g}"
    )
    chart.show(drawn.thesis, "compare-thesis", f"{alt}.", saving)


@dataclass(frozen=True)
class Drawn:
    """The panels (None where there is nothing to draw) and the picture below, with their numbers and looks."""

    panels: tuple[chart.Spec | None, chart.Spec | None, chart.Spec | None]
    numbers: tuple[Numbers, Numbers, Numbers]
    thesis: chart.Spec | None
    points: pd.DataFrame
    starts: frozenset[str]
    rests: dict[str, Look]
    rates: dict[str, Look]
    networks: dict[str, Look]


@cached(results, max_entries=32, shared=True)
def _drawn(state: CompareState) -> Drawn:
    everything = apart(compare_queries.accuracy(state.studies), studies=False)
    rows = _told(chosen(everything, replace(state, pruners=())))
    at = (rows["pruner"] == state.pruner) & (rows["sparsity"] == state.sparsity)
    shown = rows[at | (rows["start"] == "dense")]
    ratios = apart(compare_queries.pooled(state.studies, ("initial_pretrained",)), studies=False)
    ratios = _told(chosen(ratios, replace(state, pruners=(), starts=())))
    ratios = ratios[ratios["p"].round(4) == round(state.p, 4)].dropna(subset=["ratio"])
    rests = rest_looks(list(dict.fromkeys([*shown["rest"], *ratios["rest"]])))
    rates = sorted(float(rate) for rate in shown["learning_rate"].unique())
    # The gap needs both starts, whichever of them the filters show above.
    paired = _told(chosen(everything, replace(state, pruners=(), starts=())))
    paired = paired[(paired["pruner"] == state.pruner) & (paired["sparsity"] == state.sparsity)]
    paired_gaps = gaps(paired.assign(accuracy=paired[state.measure]))
    # A pair's dense network is of the same recipe, however its masks were made.
    keys = ["base", "dataset", "network", "learning_rate", "seed"]
    points = paired_gaps.merge(ratios[[*keys, "ratio"]].drop_duplicates(keys), on=keys)
    points["name"] = [f"learning rate {words.number(rate)}" for rate in points["learning_rate"]]
    rate_looks = overlap.rate_looks([float(rate) for rate in everything["learning_rate"].unique()])
    seen = {name: look for name, look in rate_looks.items() if name in set(points["name"])}
    points["network"] = points["network"].map(words.network)
    networks = series(dict.fromkeys(everything["network"].map(words.network)))
    here = {name: look for name, look in networks.items() if name in set(points["network"])}
    return Drawn(
        (
            chart.spec(sweep_chart.accuracy(shown, rests, rates, state.measure, state.spread)) if len(shown) else None,
            chart.spec(sweep_chart.overlap(ratios, rests, rates, state.p, state.spread)) if len(ratios) else None,
            chart.spec(sweep_chart.gap(paired_gaps, rests, rates)) if len(paired_gaps) else None,
        ),
        (
            means(shown, state.measure, ["start", "learning_rate", "pruner", "sparsity"], state.spread),
            means(ratios, "ratio", ["learning_rate", "p"], state.spread),
            means(paired_gaps, "gap", ["rest", "learning_rate"], "ci"),
        ),
        chart.spec(sweep_chart.thesis(points, rate_looks, networks, state.p)) if len(points) else None,
        points.drop(columns=["name", "rest"]).rename(columns={"ratio": f"overlap_p_{state.p:g}"}),
        frozenset(shown["start"]),
        rests,
        seen,
        here,
    )


def _told(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with what kind of network they are in words."""
    return rows.assign(rest=[title(values) for values in rows[VARIANT].itertuples(index=False, name=None)])
