"""The buttons that cancel a launched study, retry it and delete it."""

import streamlit as st

from app.components import dialogs
from app.state import audience, live
from app.state.queries import FINISHED
from app.study import delete
from data.queries.studies import StudyRecord
from engine.errors import UserError
from tasks.studies import launch


def retryable(record: StudyRecord) -> int:
    """Return how many stages a retry would queue again; at least 1 for a cancelled study, which it would continue."""
    return max(_ended(record), int(record.state == "cancelled"))


def _ended(record: StudyRecord) -> int:
    return record.counts["failed"] + record.counts["cancelled"]


def actions(record: StudyRecord) -> None:
    """Show the buttons that cancel, retry and delete a study, unless they would have no effect."""
    about = f"cancel {record.study_id}"
    if record.state not in FINISHED and dialogs.button("Cancel study", about, icon=":material/cancel:", key="cancel"):
        confirm_cancel(record.study_id)
    again = "Retry failed and cancelled stages" if _ended(record) else "Continue the study"
    if retryable(record) and st.button(again, icon=":material/refresh:", key="retry"):
        try:
            launch.retry(record.study_id)
        except UserError as error:
            st.error(audience.in_words(error))
        else:
            live.expect_change(record.study_id)
            st.rerun()
    delete.button(record)


@st.dialog("Cancel this study?", on_dismiss=dialogs.close)
def confirm_cancel(study_id: str) -> None:
    """Ask before a study is cancelled."""
    st.markdown(
        "Stages that only this study needs stop; one in training stops after its epoch. Stages that are done stay "
        "done, and Retry resumes the study."
    )
    with st.container(horizontal=True):
        if st.button("Cancel the study", type="primary", key="cancel_yes"):
            try:
                if launch.is_cancelled(study_id):
                    st.info("This study was cancelled already, perhaps in another tab or from the command line.")
                    return
                launch.cancel(study_id)
            except UserError as error:
                st.error(audience.in_words(error))
                return
            dialogs.close()
            st.rerun()
        dialogs.no("Keep it running", "cancel_no")
