"""Study: one study's progress, accuracy and overlap, at /study?study=<id>."""

from collections.abc import Callable

import streamlit as st

from app import access, drawing, live, reading, words
from app.actions import actions, retryable
from app.tabs import accuracy, overlap, progress, verdicts
from data.queries import StudyRecord, UnknownStudy
from data.store import StoreError
from engine.spec import to_toml

REFRESH = 2.0
TABS = {"Progress": progress.body, "Accuracy": accuracy.body, "Overlap": overlap.body, "Verdicts": verdicts.body}


def head(record: StudyRecord) -> None:
    """Show what the study is."""
    study = record.study
    st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")
    with st.container(horizontal=True, vertical_alignment="center", key="study_head"):
        st.title(words.plain(study.name), anchor=False, width="content")
        st.markdown(words.badge(record.state), width="content")
    st.caption(f"{words.compares(study.model_dump())} · launched {words.ago(record.created_at)}")
    if study.note:
        st.markdown(words.plain(study.note.strip()))
    with st.container(horizontal=True, key="study_actions"):
        st.download_button(
            "Study as TOML",
            to_toml(study),
            f"{record.study_id}.toml",
            "application/toml",
            icon=":material/download:",
            on_click="ignore",
            key="study_toml",
        )
        if st.button("New study from this one", icon=":material/content_copy:", key="study_copy"):
            st.switch_page("views/new_study.py", query_params={"copy": record.study_id})
        actions(record)


@st.fragment(run_every=1.0)
def wait(study_id: str) -> None:
    """Wait for the recorder to write down a study that was just launched."""
    st.progress(0.0, text="Launched. Waiting for the first record of it…")
    try:
        recorded = reading.exists() and reading.study(study_id) is not None
    except (UnknownStudy, StoreError):
        recorded = False
    if recorded or not live.is_expected(study_id):
        st.rerun()


def standing(record: StudyRecord) -> tuple[str, bool]:
    """Return what of a study's state the whole page depends on."""
    return record.state, retryable(record) > 0


def opened(study_id: str, before: tuple[str, bool], body: Callable[[StudyRecord], None]) -> None:
    """Draw what is in a tab, which alone refreshes itself; once the study stands otherwise, draw the whole page."""
    try:
        record = reading.study(study_id)
        if standing(record) != before:
            st.rerun()
        body(record)
    except StoreError as error:
        st.error(str(error), icon=":material/database_off:")


def missing(message: str) -> None:
    """Say that there is no such study, and where the studies are."""
    st.title("No such study", anchor=False)
    st.error(message, icon=":material/search_off:")
    st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")


def page() -> None:
    """Draw the page."""
    study_id = st.query_params.get("study", "")
    if not study_id:
        missing("The address names no study. Choose one from the list.")
        return
    try:
        if not reading.exists():
            raise UnknownStudy(study_id)
        record = reading.study(study_id)
    except UnknownStudy:
        if live.is_expected(study_id):
            wait(study_id)
        else:
            missing(f"No study {study_id!r} is recorded here: the address may be cut, or from another installation.")
        return
    except StoreError as error:
        st.error(str(error), icon=":material/database_off:")
        return
    drawing.still()
    head(record)
    for tab, (name, body) in zip(st.tabs(list(TABS), key="tab", on_change="rerun"), TABS.items(), strict=True):
        if tab.open:
            with tab, st.container(key=f"tab-{name.lower()}"):
                st.fragment(opened, run_every=live.every(record, REFRESH))(study_id, standing(record), body)


access.require_owner()
page()
