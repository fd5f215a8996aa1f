"""Deleting a study: what would go is told first, and the list of studies says that it is gone."""

import streamlit as st

from app import words
from app.components import dialogs
from app.state import live
from data.artifacts.store import ArtifactError
from data.queries.studies import StudyRecord
from data.settings import settings
from engine.errors import UserError
from tasks.studies import delete

_TOLD = "study_deleted"


def button(record: StudyRecord) -> None:
    """Show the button that asks whether to delete a study."""
    if dialogs.button("Delete", f"delete {record.study_id}", icon=":material/delete:", key="delete"):
        confirm(record.study_id, record.study.name)


def tell() -> None:
    """Say which study was just deleted, once."""
    if told := st.session_state.pop(_TOLD, None):
        st.toast(told, icon=":material/delete:")


@st.dialog("Delete this study?", on_dismiss=dialogs.close)
def confirm(study_id: str, name: str) -> None:
    """Say what deleting a study takes away, and do it when told to."""
    try:
        with st.spinner("Looking at what it holds…"):
            lines = delete.sentences(delete.preview(settings(), study_id))
    except UserError as error:
        st.error(words.plain(str(error)))
        return
    st.markdown(f"**{words.plain(name)}** cannot be brought back, but for launching it again.")
    st.markdown("\n".join(f"- {line}" for line in lines))
    with st.container(horizontal=True):
        if st.button("Delete the study", type="primary", key="delete_yes"):
            _delete(study_id, name)
        dialogs.no("Keep it", "delete_no")


def _delete(study_id: str, name: str) -> None:
    told = f"Deleted “{words.plain(name)}”."
    try:
        with st.spinner("Deleting…"):
            delete.delete(settings(), study_id)
    except ArtifactError as error:
        # The study is gone all the same.
        told += f" Some files stayed, which `python -m tasks reclaim` removes later: {words.plain(str(error))}"
    except UserError as error:
        st.error(words.plain(str(error)))
        return
    dialogs.close()
    live.expect_gone(study_id)
    st.session_state[_TOLD] = told
    st.switch_page("views/studies.py")
