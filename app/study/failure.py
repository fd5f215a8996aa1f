"""What failed in a study and why, on top of its page, with the button that tries it again."""

import streamlit as st

from app import words
from app.auth import access
from app.components.stage_names import stage_names
from app.state import audience, queries
from app.study.actions import is_queued_again, retry_button, retryable
from data.queries.failures import Failure, failures
from data.queries.studies import StudyRecord, UnknownStudy

# The most causes that are listed; the table of stages has all.
MOST_CAUSES = 5


@audience.database_errors()
def banner(study_id: str) -> None:
    """Show the failed stages of a study by cause, and to the owner the button that retries them; nothing without any.

    After a retry it says so at once, until the recorder has written it.
    """
    try:
        record = queries.study(study_id)
    except UnknownStudy:
        # The open tab notices this too, and draws the whole page.
        return
    if is_queued_again(record):
        st.info(
            f"**Queued again**: {words.plural(retryable(record), 'stage')}. The page shows them as soon as they are "
            "recorded.",
            icon=":material/refresh:",
        )
    elif record.counts["failed"]:
        with st.container(border=True, key="failures", gap="small"):
            st.error(_text(record), icon=":material/error:")
            if access.is_owner():
                retry_button(record)


def _text(record: StudyRecord) -> str:
    rows = queries.stages(record.study_id)
    found, names = failures(rows), stage_names(rows)
    count = record.counts["failed"]
    head = f"**{words.plural(count, 'stage')} of {sum(record.counts.values()):,} failed**"
    if number := len(queries.blocked(record.study_id)):
        blocked = "1 stage that builds" if number == 1 else f"{number:,} stages that build"
        head += f", {blocked} on {'it' if count == 1 else 'them'} {'is' if number == 1 else 'are'} blocked"
    lines = [f"{head}:", "", *(f"- {_cause(failure, names)}" for failure in found[:MOST_CAUSES])]
    if len(found) > MOST_CAUSES:
        lines.append(f"- {words.plural(len(found) - MOST_CAUSES, 'other cause')}; the table on Progress has all")
    if access.is_owner():
        lines += ["", "Fix the cause, then retry. After a change of images, launch the study anew."]
    return "\n".join(lines)


def _cause(failure: Failure, names: dict[str, str]) -> str:
    """Return a cause with the number of stages and the name of the one that failed first."""
    name = words.plain(names[failure.first["fingerprint"]])
    stage = f"{words.plural(failure.count, 'stage')}, first {name}" if failure.count > 1 else f"{name}"
    return f"**{words.plain(words.sentence(failure.reason))}** :small[({stage})]"
