"""A comparison of studies with its controls, for the owner and for viewers of some studies."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app.charts.points import is_spread
from app.compare import accuracy, controls, overlap, sweep
from app.compare.points import in_order
from app.compare.state import CompareState, Field, Mode
from app.components import chart, divergence
from app.state import compare_queries, queries

MODES: dict[Mode, str] = {"accuracy": "Accuracy", "sweep": "Learning rate sweep", "overlap": "Overlap"}
_BODIES: dict[Mode, Callable[[CompareState, pd.DataFrame], None]] = {
    "accuracy": accuracy.body,
    "sweep": sweep.body,
    "overlap": overlap.body,
}


def draw_comparison(state: CompareState, studies_allowed: Sequence[str] | None = None) -> CompareState:
    """Draw a comparison that begins as `state`, with its controls; return the state as the reader has changed it.

    The session keeps the changes until the first state is another. studies_allowed: the ids of the studies that the
    reader may see, None for all; other studies are never read, even if the state names them. Raises DatabaseError.
    """
    state = controls.begin(state)
    listed = queries.studies()
    if studies_allowed is not None:
        listed = listed[listed["study_id"].isin(studies_allowed)]
    visible = set(listed["study_id"])
    if any(study_id not in visible for study_id in state.studies):
        controls.set_field("studies", tuple(study_id for study_id in state.studies if study_id in visible))
        state = controls.current()
    chart.still()
    if len(listed) > 1 or studies_allowed is None:
        controls.studies(state, listed)
    if not state.studies:
        st.info("Pick one study or several to compare their results.", icon=":material/compare_arrows:")
        return state
    rows = compare_queries.accuracy(state.studies)
    diverged = compare_queries.divergences(state.studies)
    if rows.empty:
        divergence.nothing(
            diverged, "No training of these studies is done yet. The first points appear here as soon as one is."
        )
        return state
    usable, problems = controls.usable(state, rows)
    for problem in problems:
        st.warning(problem, icon=":material/filter_alt_off:")
    state = controls.save(usable)
    st.segmented_control(
        "View",
        list(MODES),
        required=True,
        format_func=MODES.__getitem__,
        label_visibility="collapsed",
        **controls.bound("mode", state.mode),
    )
    controls.filters(state, rows, starts=state.mode != "overlap", pruners=state.mode != "sweep")
    divergence.note(diverged)
    _BODIES[state.mode](state, rows)
    return state


def first_view(study_ids: Sequence[str]) -> CompareState:
    """Return the first view of studies: of one network, dataset and pruner, so that there are few lines."""
    state = CompareState(studies=tuple(study_ids))
    if not state.studies:
        return state
    rows = compare_queries.accuracy(state.studies)
    first: dict[str, Any] = {}
    columns: dict[str, Field] = {"networks": "network", "datasets": "dataset", "pruners": "pruner"}
    for name, column in columns.items():
        if len(values := in_order(column, rows[column].dropna())) > 1:
            first[name] = (str(values[0]),)
    if rows["learning_rate"].nunique() > 2:
        first["across"] = "learning_rate"
    if is_spread(rows["sparsity"]):
        first["axis"] = "remaining"
    return replace(state, **first)
