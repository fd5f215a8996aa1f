"""Deleting a study: a dialog that lists what will be removed, and a message on the list of studies afterwards."""

import streamlit as st

from app import words
from app.components import dialogs
from app.state import audience, live
from data.artifacts.store import ArtifactError
from data.queries.studies import StudyRecord
from data.settings import settings
from engine.errors import UserError
from tasks.studies import delete

_MESSAGE = "study_deleted"


def button(record: StudyRecord) -> None:
    """Show the button that opens the dialog."""
    if dialogs.button("Delete", f"delete {record.study_id}", icon=":material/delete:", key="delete"):
        confirm(record.study_id, record.study.name)


def show_message() -> None:
    """Show once which study was just deleted."""
    if message := st.session_state.pop(_MESSAGE, None):
        st.toast(message, icon=":material/delete:")


@st.dialog("Delete this study?", on_dismiss=dialogs.close)
def confirm(study_id: str, name: str) -> None:
    """List what deleting a study removes, and delete it when the reader confirms."""
    try:
        with st.spinner("Counting what it would remove…"):
            lines = delete.sentences(delete.preview(settings(), study_id))
    except UserError as error:
        st.error(audience.in_words(error))
        return
    st.markdown(f"**{words.plain(name)}** cannot be restored, only launched again.")
    st.markdown("\n".join(f"- {line}" for line in lines))
    with st.container(horizontal=True):
        if st.button("Delete the study", type="primary", key="delete_yes"):
            _delete(study_id, name)
        dialogs.no("Keep it", "delete_no")


def _delete(study_id: str, name: str) -> None:
    message = f"Deleted “{words.plain(name)}”."
    try:
        with st.spinner("Deleting…"):
            delete.delete(settings(), study_id)
    except ArtifactError as error:
        # The study itself is deleted by now.
        message += f" Some files remain; remove them with `ticketscope reclaim`: {words.plain(str(error))}"
    except UserError as error:
        st.error(audience.in_words(error))
        return
    dialogs.close()
    live.expect_deletion(study_id)
    st.session_state[_MESSAGE] = message
    st.switch_page("views/studies.py")
