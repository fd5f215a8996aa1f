"""The controls of a comparison, which change its one state; see `app.compare.state`."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from app import words
from app.charts.accuracy import MEASURES
from app.charts.points import SPREADS
from app.compare.points import in_order, label
from app.compare.state import FIELD_NAMES, Axis, CompareState, Field, change

_STATE, _ORIGIN = "compare_state", "compare_origin"
# More options than this are chosen from a searchable list instead of pills.
MOST_PILLS = 9

AXIS_NAMES: dict[Axis, str] = {"sparsity": "sparsity", "remaining": "remaining weights (log)"}


def begin(origin: CompareState) -> CompareState:
    """Return the state as the reader has changed it since it was `origin`; another origin replaces it."""
    if st.session_state.get(_ORIGIN) != origin:
        st.session_state[_ORIGIN], st.session_state[_STATE] = origin, origin
    return now()


def now() -> CompareState:
    """Return the state as it is."""
    state: CompareState = st.session_state[_STATE]
    return state


def put(name: str, value: Any) -> None:
    """Change one field of the state."""
    st.session_state[_STATE] = change(now(), name, value)


def bound(name: str, value: Any) -> dict[str, Any]:
    """Return the key and callback of a widget that shows a field of the state and changes it."""
    key = f"compare_{name}"
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value

    def take() -> None:
        chosen = st.session_state[key]
        put(name, tuple(chosen) if isinstance(chosen, list) else chosen)

    return {"key": key, "on_change": take}


def studies(state: CompareState, listed: pd.DataFrame) -> None:
    """Let the reader pick studies; listed: rows of `data.queries.studies.studies`."""
    names = dict(zip(listed["study_id"], listed["name"], strict=True))
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    titles = {
        row.study_id: f"{row.name_} · {row.study_id}" if row.name_ in several else row.name_
        for row in listed.rename(columns={"name": "name_"}).itertuples()
    }
    st.multiselect(
        "Studies",
        list(names),
        format_func=titles.__getitem__,
        placeholder="Search and pick studies",
        **bound("studies", list(state.studies)),
    )


def usable(state: CompareState, rows: pd.DataFrame) -> tuple[CompareState, list[str]]:
    """Return a state whose filters name only values that the studies have, and a line about each that they lack."""
    problems: list[str] = []
    filters = {
        "networks": "network",
        "datasets": "dataset",
        "pruners": "pruner",
        "learning_rates": "learning_rate",
        "starts": "start",
    }
    for name, column in filters.items():
        present = set(rows[column].dropna())
        values = getattr(state, name)
        if gone := [value for value in values if value not in present]:
            shown = words.listing([f"“{str(value)[:40]}”" for value in gone])
            problems.append(f"The chosen studies have no result of {column.replace('_', ' ')} {shown}: it is left out.")
            state = change(state, name, tuple(value for value in values if value in present))
    return state, problems


def filters(state: CompareState, rows: pd.DataFrame, starts: bool, pruners: bool) -> None:
    """Let the reader filter the results of the studies."""
    with st.container(horizontal=True, gap="medium", key="compare_filters"):
        _some("Network", "networks", in_order("network", rows["network"]), state.networks, words.network)
        _some("Dataset", "datasets", in_order("dataset", rows["dataset"]), state.datasets, partial(label, "dataset"))
        if pruners:
            found = in_order("pruner", rows["pruner"].dropna())
            _some("Pruner", "pruners", found, state.pruners, words.pruner)
        rates = in_order("learning_rate", rows["learning_rate"])
        _some("Learning rate", "learning_rates", rates, state.learning_rates, words.number)
        if starts:
            _some("Start", "starts", in_order("start", rows["start"]), state.starts, words.start)


def _some(label: str, name: str, options: Sequence[Any], chosen: Iterable[Any], title: Callable[[Any], str]) -> None:
    if len(options) < 2:
        return
    if len(options) > MOST_PILLS:
        st.multiselect(label, options, format_func=title, placeholder="all", width=320, **bound(name, list(chosen)))
        return
    st.pills(
        label,
        options,
        selection_mode="multi",
        wrap=True,
        # Pills are Markdown, lists to choose from are not.
        format_func=lambda option: words.plain(title(option)),
        help="None chosen shows all.",
        **bound(name, list(chosen)),
    )


def look(state: CompareState, rows: pd.DataFrame) -> None:
    """Let the reader choose how accuracy is drawn."""
    recipes = rows["recipe"].nunique() > 1 or state.panels == "recipe" or state.by == "recipe"
    fields = [field for field in get_args(Field) if field != "recipe" or recipes]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_look"):
        st.selectbox(
            "Panels by", fields, format_func=FIELD_NAMES.__getitem__, width=160, **bound("panels", state.panels)
        )
        st.selectbox("Colour by", fields, format_func=FIELD_NAMES.__getitem__, width=160, **bound("by", state.by))
        spread(state)
        measure(state)
        st.segmented_control(
            "Horizontal axis",
            list(AXIS_NAMES),
            required=True,
            format_func=AXIS_NAMES.__getitem__,
            **bound("axis", state.axis),
        )


def spread(state: CompareState) -> None:
    """Let the reader choose what bands show."""
    st.selectbox(
        "Band over seeds", list(SPREADS), format_func=SPREADS.__getitem__, width=190, **bound("spread", state.spread)
    )


def measure(state: CompareState) -> None:
    """Let the reader choose which epoch's accuracy counts."""
    st.segmented_control(
        "Accuracy of",
        list(MEASURES),
        required=True,
        format_func=MEASURES.__getitem__,
        **bound("measure", state.measure),
    )


def p(state: CompareState, options: Sequence[float]) -> float:
    """Let the reader choose p among those measured; return it, or the nearest one to the state's."""
    near = min(options, key=lambda option: (abs(option - state.p), option))
    if len(options) > 1:
        st.select_slider(
            "p, fraction of largest weights", options, format_func=words.number, width=260, **bound("p", near)
        )
    return near


def save(state: CompareState) -> CompareState:
    """Save a state in the session, and return it."""
    st.session_state[_STATE] = state
    return state
