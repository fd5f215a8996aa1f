"""The buttons that cancel a launched study, retry it and delete it."""

import streamlit as st

from app.components import dialogs
from app.new_study.launch import long_question
from app.state import attention, audience, live, queries
from app.state.queries import FINISHED
from app.study import delete
from data.queries.studies import StudyRecord
from engine.errors import UserError
from tasks.studies import launch

# What the database had of each study that this visitor retried, when it was retried.
_RETRIED = "studies_retried"
# The study whose retry takes long and waits for an answer, and what it costs.
_LONG = "retry_long_study"


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
    # The banner on failures has the button where there are any.
    if retryable(record) and not record.counts["failed"] and not is_queued_again(record):
        retry_button(record)
    delete.button(record)


def retry_button(record: StudyRecord) -> None:
    """Show the button that queues failed and cancelled stages again; it asks before what takes long."""
    again = "Retry failed and cancelled stages" if _ended(record) else "Continue the study"
    if st.button(again, icon=":material/refresh:", key="retry"):
        _retry(record, ask=True)
    if (costs := _long(record.study_id)) and long_question(
        costs, "retry_long", "Queue them", "Leave them", ":material/refresh:", _forget_long
    ):
        _retry(record, ask=False)


def _retry(record: StudyRecord, ask: bool) -> None:
    """Queue what is left of a study and say so at once, or note what it costs for a question."""
    try:
        with st.spinner("Queueing again…"):
            long = launch.long_retry(record.study_id) if ask else None
            if long is None:
                launch.retry(record.study_id)
    except UserError as error:
        st.error(audience.in_words(error))
        return
    if long is not None:
        st.session_state[_LONG] = record.study_id, long.costs(live.zone())
        return
    live.expect_change(record.study_id)
    st.session_state.setdefault(_RETRIED, {})[record.study_id] = _recorded(record)
    st.rerun()


def _long(study_id: str) -> str | None:
    """Return what a retry costs that was requested and takes long."""
    about, costs = st.session_state.get(_LONG, ("", None))
    return costs if about == study_id else None


def _forget_long() -> None:
    st.session_state.pop(_LONG, None)


def is_queued_again(record: StudyRecord) -> bool:
    """Return whether this visitor has just retried a study, and the database does not show it yet."""
    before = st.session_state.get(_RETRIED, {}).get(record.study_id)
    return before is not None and live.is_expected(record.study_id) and before == _recorded(record)


def _recorded(record: StudyRecord) -> tuple[object, ...]:
    """Return what a retry changes in the database; a stage that fails again is recorded with another time."""
    finished = queries.stages(record.study_id)["finished_at"].max()
    return record.state, *record.counts.values(), str(finished)


@st.dialog("Cancel this study?", on_dismiss=dialogs.close)
def confirm_cancel(study_id: str) -> None:
    """Ask before a study is cancelled."""
    st.markdown(
        "Stages that only this study needs stop; one in training stops after its epoch. Stages that are done stay "
        "done, and Retry resumes the study."
    )
    with st.container(horizontal=True):
        if dialogs.destructive("Cancel the study", "cancel_yes"):
            try:
                if launch.is_cancelled(study_id):
                    st.info("This study was cancelled already, perhaps in another tab or from the command line.")
                    return
                launch.cancel(study_id)
                attention.cancelled_here(study_id)
            except UserError as error:
                st.error(audience.in_words(error))
                return
            dialogs.close()
            st.rerun()
        dialogs.no("Keep it running", "cancel_no")
