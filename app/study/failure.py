"""Why a study failed, on top of its page."""

import streamlit as st

from app import words
from app.auth import access
from app.state import queries
from data.queries.failures import failures
from data.queries.studies import StudyRecord


def show(record: StudyRecord) -> None:
    """Show how many stages failed and why the first one did, and to the owner what to do; nothing without any."""
    if not record.counts["failed"]:
        return
    found = failures(queries.stages(record.study_id))
    if not found:
        return
    count = record.counts["failed"]
    text = f"**{words.plural(count, 'stage')} of {sum(record.counts.values()):,} failed**"
    text += f"{', the first because' if len(found) > 1 else ''}: {words.plain(words.sentence(found[0].reason))}"
    if access.is_owner():
        text += "  \nMend the cause, then retry the failed stages. After a change of images, launch the study anew."
    st.error(text, icon=":material/error:")
