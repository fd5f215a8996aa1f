"""The learning rate sweep of several studies: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from app import charts_overlap, charts_sweep, compare_controls, compare_saving, drawing, reading_compare, words
from app.charts_sweep import gaps
from app.compare_overlap import VARIANT, title
from app.compare_points import apart, chosen, rest_looks
from app.compare_saving import Numbers, means
from app.compare_state import CompareState
from app.palette import STARTS, Look, series
from app.reading import KEEP, Marker
from app.spread import band

# A sparsity at which starts have begun to differ, in the paper and elsewhere: the nearest one is shown at first.
USUAL = 0.8
KEYS = ("compare-sweep-accuracy", "compare-sweep-overlap", "compare-sweep-gap")


def body(state: CompareState, rows: pd.DataFrame) -> None:
    """Draw the three panels and the picture of gap against overlap."""
    pruned = chosen(rows, state)
    pruned = pruned[pruned["start"] != "dense"]
    dense = reading_compare.pooled(state.studies, ("initial_pretrained",))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_sweep_choices"):
        state = _choices(state, pruned)
        if len(dense):
            state = replace(state, p=compare_controls.p(state, sorted(dense["p"].unique())))
        compare_controls.spread(state)
        compare_controls.measure(state)
    drawn = _drawn(replace(state, point="", zoom=None), reading_compare.marker(state.studies))
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
        drawing.legend_row([replace(look, shape="stroke", dash=()) for look in looks], f"{bands}; {charts_sweep.BAND}")
        drawing.legend_row([*drawn.rests.values(), charts_overlap.CHANCE])
    else:
        drawing.legend_row([*looks, charts_overlap.CHANCE], f"{bands}; {charts_sweep.BAND}")
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
                drawing.show(spec, key, f"{alt} by learning rate.", saving)
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
        st.selectbox("Pruner", pruners, format_func=words.pruner, width=210, **compare_controls.bound("pruner", pruner))
    if len(found) > 1:
        st.selectbox(
            "Sparsity", found, format_func=words.percent, width=130, **compare_controls.bound("sparsity", sparsity)
        )
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
    drawing.legend_row([*colours, *(shapes if len(shapes) > 1 else [])])
    alt = "Winning ticket minus random reinit against overlap, one point a seed"
    found = drawn.points
    saving = compare_saving.chart(
        "gap-against-overlap", alt, lambda: found, [*colours, *shapes], "", f"p = {state.p:g}"
    )
    drawing.show(drawn.thesis, "compare-thesis", f"{alt}.", saving)


@dataclass(frozen=True)
class Drawn:
    """The panels (None where there is nothing to draw) and the picture below, with their numbers and looks."""

    panels: tuple[drawing.Spec | None, drawing.Spec | None, drawing.Spec | None]
    numbers: tuple[Numbers, Numbers, Numbers]
    thesis: drawing.Spec | None
    points: pd.DataFrame
    starts: frozenset[str]
    rests: dict[str, Look]
    rates: dict[str, Look]
    networks: dict[str, Look]


@st.cache_resource(ttl=KEEP, max_entries=32, show_spinner=False)
def _drawn(state: CompareState, changed: Marker) -> Drawn:
    del changed
    everything = apart(reading_compare.accuracy(state.studies), studies=False)
    rows = _told(chosen(everything, replace(state, pruners=())))
    at = (rows["pruner"] == state.pruner) & (rows["sparsity"] == state.sparsity)
    shown = rows[at | (rows["start"] == "dense")]
    ratios = apart(reading_compare.pooled(state.studies, ("initial_pretrained",)), studies=False)
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
    rate_looks = charts_overlap.rate_looks([float(rate) for rate in everything["learning_rate"].unique()])
    seen = {name: look for name, look in rate_looks.items() if name in set(points["name"])}
    points["network"] = points["network"].map(words.network)
    networks = series(dict.fromkeys(everything["network"].map(words.network)))
    here = {name: look for name, look in networks.items() if name in set(points["network"])}
    return Drawn(
        (
            drawing.spec(charts_sweep.accuracy(shown, rests, rates, state.measure, state.spread))
            if len(shown)
            else None,
            drawing.spec(charts_sweep.overlap(ratios, rests, rates, state.p, state.spread)) if len(ratios) else None,
            drawing.spec(charts_sweep.gap(paired_gaps, rests, rates)) if len(paired_gaps) else None,
        ),
        (
            means(shown, state.measure, ["start", "learning_rate", "pruner", "sparsity"], state.spread),
            means(ratios, "ratio", ["learning_rate", "p"], state.spread),
            means(paired_gaps, "gap", ["rest", "learning_rate"], "ci"),
        ),
        drawing.spec(charts_sweep.thesis(points, rate_looks, networks, state.p)) if len(points) else None,
        points.drop(columns=["name", "rest"]).rename(columns={"ratio": f"overlap_p_{state.p:g}"}),
        frozenset(shown["start"]),
        rests,
        seen,
        here,
    )


def _told(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with what kind of network they are in words."""
    return rows.assign(rest=[title(values) for values in rows[VARIANT].itertuples(index=False, name=None)])
