"""A study's page: its head, the buttons that change it, which only the owner sees, and its tabs."""

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from app import words
from app.auth import access
from app.components import chart, dialogs
from app.components.share_dialog import share_study
from app.export import menu
from app.state import address, attention, audience, live, queries
from app.state.cache import cached
from app.study import accuracy, failure, overlap, overview, progress, verdicts
from app.study.actions import actions, retryable
from data.database.database import DatabaseError
from data.queries.studies import StudyRecord, UnknownStudy

# Seconds between two refreshes while a study can change, and between two looks at whether another tab changed it.
REFRESH, IDLE = 2.0, 5.0
TABS = {
    "Overview": overview.body,
    "Progress": progress.body,
    "Accuracy": accuracy.body,
    "Overlap": overlap.body,
    "Verdicts": verdicts.body,
}


def draw_study(record: StudyRecord) -> None:
    """Draw the page of a study that this visitor may see."""
    chart.still()
    address.arrive(record.study_id)
    attention.study_title(record, _fraction(record))
    attention.announce(record)
    _head(record)
    every = dialogs.refresh_seconds(record, REFRESH)
    st.fragment(failure.banner, run_every=every)(record.study_id)
    # Streamlit draws tabs in another order anew, with all that is in them, so the order stays when a study ends.
    names = address.at_first("tabs", tab_names(record))
    key = address.one("tab", names, text=str.lower, stays=True)
    for tab, name in zip(st.tabs(names, key=key, on_change="rerun"), names, strict=True):
        if tab.open:
            with tab, st.container(key=f"tab-{name.lower()}"):
                st.fragment(_opened, run_every=every)(record.study_id, _state(record), TABS[name])
    # The page of a link is watched as a whole.
    if every is None and not dialogs.is_open() and not audience.is_viewer():
        _watch(record.study_id, _state(record))


def tab_names(record: StudyRecord) -> list[str]:
    """Return the tabs in their order: what the owner of a study in training looks at first is its progress."""
    if record.state in queries.FINISHED or audience.is_viewer():
        return list(TABS)
    return sorted(TABS, key=lambda name: name != "Progress")


@st.fragment(run_every=IDLE)
def _watch(study_id: str, before: tuple[str, bool, int]) -> None:
    """Draw the page of a finished study again once somebody deletes or retries it."""
    # While the database cannot be read, the page stays as it is.
    with suppress(DatabaseError):
        try:
            changed = not access.may_see(study_id) or _state(queries.study(study_id)) != before
        except UnknownStudy:
            changed = True
        if changed:
            st.rerun()


def _head(record: StudyRecord) -> None:
    """Show title, state and note of the study, and to the owner the buttons that change it."""
    study = record.study
    owner = access.is_owner()
    if owner:
        with st.container(key="back"):
            st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")
    with st.container(horizontal=True, vertical_alignment="center", key="study_head"):
        st.title(words.plain(study.name), anchor=False, width="content")
        st.markdown(words.badge(record.state), width="content")
    st.caption(f"{words.plain(words.compares(study.model_dump()))} · launched {words.ago(record.created_at)}")
    if study.note:
        st.markdown(words.plain(study.note.strip()))
    with st.container(horizontal=True, vertical_alignment="center", key="study_actions"):
        menu.menu(record)
        if owner:
            _owners_actions(record)
        if record.state not in queries.FINISHED:
            attention.offer()


def _owners_actions(record: StudyRecord) -> None:
    share_study(record)
    if st.button("New study from this one", icon=":material/content_copy:", key="study_copy"):
        st.switch_page("views/new_study.py", query_params={"copy": record.study_id})
    if st.button("Compare with others", icon=":material/compare_arrows:", key="study_compare"):
        st.switch_page("views/compare.py", query_params={"new": record.study_id})
    actions(record)


def _fraction(record: StudyRecord) -> float:
    """Return the recorded fraction of a study's epochs, 1 once it has ended."""
    return 1.0 if record.state in queries.FINISHED else _recorded(record.study_id)


@cached(queries.state_marker, max_entries=32)
def _recorded(study_id: str) -> float:
    return live.fraction(queries.stages(study_id), {})


def _state(record: StudyRecord) -> tuple[str, bool, int]:
    """Return what the whole page depends on: the study's state, whether it can be retried, how many stages failed."""
    return record.state, retryable(record) > 0, record.counts["failed"]


@audience.database_errors()
def _opened(study_id: str, before: tuple[str, bool, int], body: Callable[[StudyRecord], float | None]) -> None:
    """Draw an open tab, which refreshes by itself; if the state differs from the one before, draw the whole page."""
    if not access.may_see(study_id):
        st.rerun()
    try:
        record = queries.study(study_id)
        if _state(record) != before:
            st.rerun()
        # Where the tab shows how far the study is, its title in the browser says the same.
        fraction = body(record)
        address.save()
        attention.study_title(record, _fraction(record) if fraction is None else fraction)
    except UnknownStudy:
        st.rerun()
