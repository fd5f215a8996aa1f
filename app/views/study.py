"""Study: one study's progress, accuracy, overlap and verdicts, at /study?study=<id>."""

import streamlit as st

from app.auth import access
from app.state import attention, audience, live, queries
from app.study import delete
from app.study.page import draw_study
from data.queries.studies import InTrash, UnknownStudy
from engine.errors import UserError


@st.fragment(run_every=1.0)
def wait(study_id: str) -> None:
    """Wait until the recorder has written a study that was just launched."""
    st.progress(0.0, text="Launched. Waiting for the recorder to write it…")
    try:
        recorded = queries.exists() and queries.study(study_id) is not None
    except UserError:
        recorded = False
    if recorded or not live.is_expected(study_id):
        st.rerun()


def missing(message: str) -> None:
    """Say why no study can be shown, and link to the list of studies."""
    attention.title("No such study")
    st.title("No such study", anchor=False)
    st.error(message, icon=":material/search_off:")
    st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")


def in_trash(study_id: str) -> None:
    """Say that a study is in the Trash, and offer to bring it back."""
    attention.title("In the Trash")
    st.title("In the Trash", anchor=False)
    st.info(audience.TRASHED, icon=":material/delete:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Bring it back",
            icon=":material/restore_from_trash:",
            type="primary",
            key="bring_back",
            on_click=audience.attempt,
            args=(delete.restore, [study_id]),
        )
        st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")


def page() -> None:
    """Draw the page."""
    study_id = st.query_params.get("study", "")
    if not study_id:
        missing("The address names no study. Choose one from the list.")
        return
    try:
        if not queries.exists():
            raise UnknownStudy(study_id)
        record = queries.study(study_id)
    except InTrash:
        in_trash(study_id)
        return
    except UnknownStudy:
        if live.is_expected(study_id):
            attention.title("Launched")
            wait(study_id)
        else:
            missing(queries.why_missing(study_id))
        return
    draw_study(record)


access.require_owner()
page()
