"""The learning rate sweep of a comparison: accuracy, overlap and gap by learning rate, and gap against overlap."""

from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st

from app import words
from app.answer.answers import USUAL, at_words, usual
from app.answer.sweep import Colours, Runs, Sweep, sweep
from app.charts.chart import file_name
from app.compare import controls
from app.compare.overlap import VARIANT, title
from app.compare.points import by_studies, comparable, filtered, rest_looks
from app.compare.state import CompareState, results
from app.components.sweep import show
from app.state import compare_queries
from app.state.cache import cached


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
    st.header("By learning rate", anchor=False)
    at = at_words(state.pruner, state.sparsity) if state.sparsity else "no pruned network"
    show(_sweep(replace(state, point="", zoom=None)), at, state.spread, "compare")


def _choices(state: CompareState, pruned: pd.DataFrame) -> CompareState:
    """Return the state with the pruner and sparsity that the reader chooses; "" and None without pruned networks."""
    pruners = list(dict.fromkeys(pruned["pruner"].dropna()))
    if not pruners:
        return replace(state, pruner="", sparsity=None)
    pruner = state.pruner if state.pruner in pruners else pruners[0]
    sparsities = sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique())
    sparsity = usual(sparsities, USUAL if state.sparsity is None else state.sparsity)
    if len(pruners) > 1:
        st.selectbox("Pruner", pruners, format_func=words.pruner, width=210, **controls.bound("pruner", pruner))
    if len(sparsities) > 1:
        st.selectbox(
            "Sparsity", sparsities, format_func=words.percent, width=130, **controls.bound("sparsity", sparsity)
        )
    return replace(state, pruner=pruner, sparsity=sparsity)


@cached(results, max_entries=32, shared=True)
def _sweep(state: CompareState) -> Sweep:
    all_accuracies = comparable(compare_queries.accuracy(state.studies), by_studies(state))
    rows = _with_variant(filtered(all_accuracies, replace(state, pruners=())))
    is_pruned = (rows["pruner"] == state.pruner) & (rows["sparsity"] == state.sparsity)
    accuracies = rows[is_pruned | (rows["start"] == "dense")]
    ratios = comparable(compare_queries.pooled(state.studies, ("initial_pretrained",)), by_studies(state))
    ratios = _with_variant(filtered(ratios, replace(state, pruners=(), starts=())))
    # The gap needs both starts, even where the filters hide one of them.
    paired = _with_variant(filtered(all_accuracies, replace(state, pruners=(), starts=())))
    paired = paired[(paired["pruner"] == state.pruner) & (paired["sparsity"] == state.sparsity)]
    runs = Runs(accuracies, paired, ratios)
    named = pd.concat([frame[["rest", "study"]] for frame in (accuracies, ratios)]).drop_duplicates("rest")
    rests = rest_looks(dict(zip(named["rest"], named["study"], strict=True)))
    colours = Colours(all_accuracies["learning_rate"].unique(), dict.fromkeys(all_accuracies["network"]))
    return sweep(runs, rests, colours, state.measure, state.spread, state.p, partial(file_name, "compare"))


def _with_variant(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the column `rest`, their variant in words; pairs and dense networks are of one study."""
    return rows.assign(
        base=rows["study"] + rows["base"],
        rest=[title(values) for values in rows[VARIANT].itertuples(index=False, name=None)],
    )
