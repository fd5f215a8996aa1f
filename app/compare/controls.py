"""The controls of a comparison, each of which shows and changes a field of its state."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from app import words
from app.charts.accuracy import MEASURES
from app.charts.points import ABOUT_FITS, ABOUT_QUANTITIES, ABOUT_SPACING, FITS, QUANTITIES, SPREADS
from app.compare.points import in_order, label
from app.compare.state import FIELD_NAMES, SPACINGS, TOGETHER, CompareState, Field, change

_STATE, _ORIGIN = "compare_state", "compare_origin"
# More options than this are in a searchable list instead of pills.
MOST_PILLS = 9


def begin(origin: CompareState) -> CompareState:
    """Return the state as the reader has changed it since it was `origin`; a new origin replaces it."""
    if st.session_state.get(_ORIGIN) != origin:
        st.session_state[_ORIGIN], st.session_state[_STATE] = origin, origin
    return current()


def current() -> CompareState:
    """Return the state that the session holds."""
    state: CompareState = st.session_state[_STATE]
    return state


def set_field(name: str, value: Any) -> None:
    """Change one field of the state."""
    st.session_state[_STATE] = change(current(), name, value)


def bound(name: str, value: Any) -> dict[str, Any]:
    """Return the key and callback of a widget that shows and changes a field of the state."""
    key = f"compare_{name}"
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value

    def update() -> None:
        selected = st.session_state[key]
        set_field(name, tuple(selected) if isinstance(selected, list) else selected)

    return {"key": key, "on_change": update}


def studies(state: CompareState, listed: pd.DataFrame) -> None:
    """Let the reader pick studies; listed: rows of `data.queries.studies.studies`."""
    names = dict(zip(listed["study_id"], listed["name"], strict=True))
    repeated = {name for name in names.values() if list(names.values()).count(name) > 1}
    titles = {study_id: f"{name} · {study_id}" if name in repeated else name for study_id, name in names.items()}
    st.multiselect(
        "Studies",
        list(names),
        format_func=titles.__getitem__,
        placeholder="Search and pick studies",
        **bound("studies", list(state.studies)),
    )


def usable(state: CompareState, rows: pd.DataFrame) -> tuple[CompareState, list[str]]:
    """Return a state whose filters name only values of the studies, and a sentence on each value that they lack."""
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
        if absent := [value for value in values if value not in present]:
            quoted = words.listing([f"“{str(value)[:40]}”" for value in absent])
            problems.append(
                f"The studies have no result of {column.replace('_', ' ')} {quoted}: the filter ignores it."
            )
            state = change(state, name, tuple(value for value in values if value in present))
    return state, problems


def filters(state: CompareState, rows: pd.DataFrame, starts: bool, pruners: bool) -> None:
    """Let the reader filter the results of the studies."""
    with st.container(horizontal=True, gap="medium", key="compare_filters"):
        _filter("Network", "networks", in_order("network", rows["network"]), state.networks, words.network)
        _filter("Dataset", "datasets", in_order("dataset", rows["dataset"]), state.datasets, partial(label, "dataset"))
        if pruners:
            names = in_order("pruner", rows["pruner"].dropna())
            _filter("Pruner", "pruners", names, state.pruners, words.pruner)
        rates = in_order("learning_rate", rows["learning_rate"])
        _filter("Learning rate", "learning_rates", rates, state.learning_rates, words.number)
        if starts:
            _filter("Start", "starts", in_order("start", rows["start"]), state.starts, words.start)


def _filter(label: str, name: str, options: Sequence[Any], values: Iterable[Any], title: Callable[[Any], str]) -> None:
    """Show a filter where there is something to choose; values: those that pass, none for all."""
    if len(options) < 2:
        return
    if len(options) > MOST_PILLS:
        st.multiselect(label, options, format_func=title, placeholder="all", width=320, **bound(name, list(values)))
        return
    st.pills(
        label,
        options,
        selection_mode="multi",
        wrap=True,
        # Streamlit reads pills as Markdown, but not the options of lists.
        format_func=lambda option: words.plain(title(option)),
        help="Choose none to show all.",
        **bound(name, list(values)),
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
        _segments("Show", "quantity", QUANTITIES, state.quantity, help=ABOUT_QUANTITIES)
        _segments("Accuracy axis", "fit", FITS, state.fit, help=ABOUT_FITS)
        _segments("Sparsity axis", "axis", SPACINGS, state.axis, help=ABOUT_SPACING)
        if len(state.studies) > 1:
            _segments("Average studies", "together", TOGETHER, state.together, help=_ABOUT_TOGETHER)


_ABOUT_TOGETHER = (
    "Together: studies of equal recipes are averaged as one, and a training that several of them share counts once."
)


def _segments(title: str, name: str, titles: Mapping[Any, str], value: Any, **options: Any) -> None:
    st.segmented_control(
        title, list(titles), required=True, format_func=titles.__getitem__, **bound(name, value), **options
    )


def page(state: CompareState, titles: Sequence[str], size: int, first: str = "") -> None:
    """Let the reader turn to other panels where there are more than fit on a page.

    titles: of all panels; first: which of them come first, if they are not in order.
    """
    pages = -(-len(titles) // size)
    if pages < 2:
        return

    def name(index: int) -> str:
        part = titles[index * size : (index + 1) * size]
        what = "those that say most" if first and not index else f"{part[0]} to {part[-1]}"
        return f"{index * size + 1} to {index * size + len(part)} of {len(titles)}: {what}"

    current = state.page if state.page < pages else 0
    st.selectbox(
        "Panels", range(pages), format_func=name, width=420, help=first and f"First: {first}.", **bound("page", current)
    )


def versus(state: CompareState, names: Sequence[str]) -> tuple[int, int]:
    """Return the places of two studies in the state, which the reader chooses where there are more than two."""
    places = range(len(names))
    one, other = state.versus if max(state.versus) < len(names) else (0, 1)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_versus_choices"):
        if len(names) > 2:
            _study("Study", "compare_one", places, names, one, lambda place: (place, other))
            _study("minus", "compare_other", places, names, other, lambda place: (one, place))
        elif st.button("Swap", icon=":material/swap_horiz:", key="compare_swap"):
            set_field("versus", (other, one))
            st.rerun()
    return one, other


def _study(
    title: str,
    key: str,
    places: Sequence[int],
    names: Sequence[str],
    place: int,
    pair: Callable[[int], tuple[int, int]],
) -> None:
    if st.session_state.get(key) != place:
        st.session_state[key] = place

    def update() -> None:
        one, other = pair(st.session_state[key])
        # Who chooses the other study too swaps the two.
        set_field("versus", current().versus[::-1] if one == other else (one, other))

    st.selectbox(title, places, format_func=names.__getitem__, key=key, on_change=update, width=300)


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
    """Let the reader choose one of the measured p; return the state's p, or the nearest that is measured."""
    nearest = min(options, key=lambda option: (abs(option - state.p), option))
    if len(options) > 1:
        st.select_slider(
            "p, fraction of largest weights", options, format_func=words.number, width=260, **bound("p", nearest)
        )
    return nearest


def save(state: CompareState) -> CompareState:
    """Save a state in the session, and return it."""
    st.session_state[_STATE] = state
    return state
