"""What failed in a study and why, on top of its page, with the button that tries it again."""

import pandas as pd
import streamlit as st

from app import words
from app.auth import access
from app.components.stage_names import stage_names
from app.state import audience, queries
from app.study.actions import is_queued_again, retry_button, retryable
from app.study.stages_table import Snapshot, snapshot
from data.queries.failures import Failure, failures, reason
from data.queries.studies import UnknownStudy

# The most causes that are listed; the table of stages has all.
MOST_CAUSES = 5
# The most errors that are shown in full.
MOST_FAILURES = 10


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
    elif (shown := snapshot(study_id)).counts["failed"]:
        with st.container(border=True, key="failures", gap="small"):
            st.error(_text(shown), icon=":material/error:")
            if access.is_owner():
                retry_button(record)


def _text(shown: Snapshot) -> str:
    rows = shown.rows
    found, names = failures(rows), stage_names(rows)
    count = shown.counts["failed"]
    head = f"**{words.plural(count, 'stage')} of {len(rows):,} failed**"
    if number := shown.counts["blocked"]:
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


def errors(rows: pd.DataFrame) -> None:
    """Show the errors of failed stages in full; rows: as from `queries.stages`."""
    failed = rows[rows["state"] == "failed"]
    names = stage_names(rows)
    for row in failed.head(MOST_FAILURES).itertuples():
        error = row.error or "The worker reported no error."
        with st.expander(
            f"Failed: {words.plain(names[row.fingerprint])}", icon=":material/error:", key=f"failure-{row.fingerprint}"
        ):
            st.markdown(f"**{words.plain(reason(error))}**")
            ran = f"attempt {row.attempt} on {row.worker or 'an unknown worker'} ({row.host or 'unknown host'})"
            st.caption(words.plain(ran))
            if "\n" in error:
                st.code(error, language=None, wrap_lines=True)
    if len(failed) > MOST_FAILURES:
        st.caption(f"{len(failed) - MOST_FAILURES:,} more have failed; the table lists them.")
