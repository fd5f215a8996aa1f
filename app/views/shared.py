"""Shared: what a link shows, read-only, at /shared?share=<token>."""

import streamlit as st

from app import words
from app.auth import access
from app.compare.page import draw_comparison
from app.compare.state import from_query
from app.state import audience, queries
from app.study.page import draw_study
from data.database.database import DatabaseError
from data.queries.studies import StudyRecord, UnknownStudy
from data.shared_links import Share

REFRESH = 2.0


def dead() -> None:
    """Say that the link shows nothing, without revealing whether it ever did."""
    st.title("This link shows nothing", anchor=False)
    st.error(
        "It may have expired, been revoked, or been cut when it was copied. Ask the sender for a new one.",
        icon=":material/link_off:",
    )


def describe(share: Share) -> None:
    """Say that the page is shared for reading, and show the link's note."""
    note = f" {words.plain(share.note)}" if share.note else ""
    st.caption(f":material/visibility: Shared with you to read.{note}")


def shared_study(share: Share) -> StudyRecord | None:
    """Return the study that a link shows, None for a link to a comparison."""
    return queries.study(share.study_ids[0]) if share.state is None else None


@st.fragment(run_every=REFRESH)
def watch(shown: StudyRecord | None) -> None:
    """Draw the page again once its link has expired or was revoked, or the state of its study has changed."""
    try:
        share = access.link()
        study = shared_study(share) if share else None
        changed = share is None or (study and study.state) != (shown and shown.state)
    except UnknownStudy:
        changed = True
    except DatabaseError:
        # The page stays as it is, and the next refresh asks again.
        changed = False
    if changed:
        st.rerun()


def page() -> None:
    """Draw the page."""
    try:
        share = access.link()
        if share is None:
            dead()
            return
        study = shared_study(share)
        watch(study)
        describe(share)
        if study is not None:
            draw_study(study)
        elif share.state is not None:
            state, _ = from_query(share.state, share.study_ids)
            draw_comparison(state, share.study_ids)
    except UnknownStudy:
        dead()
    except DatabaseError as error:
        st.error(audience.database_error(error), icon=":material/database_off:")


if audience.is_viewer():
    page()
else:
    access.require_owner()
    st.title("Shared", anchor=False)
    st.info("Shared links open on this page. The address contains none, so there is nothing to see.")
