"""Shared: what a link shows, read-only, at /shared?share=<token>."""

from dataclasses import replace

import streamlit as st

from app import words
from app.auth import access
from app.compare.page import draw_comparison
from app.compare.state import CompareState, from_query
from app.state import attention, audience, queries
from app.study.page import draw_study
from data.database.database import DatabaseError
from data.datasets.registry import FOLDER
from data.queries.studies import StudyRecord, UnknownStudy
from data.shared_links import Share
from data.viewers import shown_folders

# Many viewers may have the page open, and each look takes a few milliseconds.
REFRESH = 4.0


def dead() -> None:
    """Say that the link shows nothing, without revealing whether it ever did."""
    attention.title("No such link")
    st.title(words.NO_LINK, anchor=False)
    st.error(words.NO_LINK_ADVICE, icon=":material/link_off:")


def describe(share: Share) -> None:
    """Say that the page is shared for reading, and show the link's note unless the link is anonymous."""
    if share.anonymous:
        st.caption(":material/visibility: Shared with you to read, without names of people, hosts and folders.")
        return
    note = f" {words.plain(share.note)}" if share.note else ""
    st.caption(f":material/visibility: Shared with you to read.{note}")


def shared_study(share: Share) -> StudyRecord | None:
    """Return the study that a link shows, None for a link to a comparison."""
    return queries.study(share.study_ids[0]) if share.state is None else None


def shared_view(share: Share, query: str) -> CompareState:
    """Return the view that a link shows, with the names that viewers read in place of folders."""
    state, _ = from_query(query, share.study_ids)
    folders = shown_folders(queries.database())
    datasets = [folders.get(name, name) for name in state.datasets if name in folders or not name.startswith(FOLDER)]
    # The id of a point is made from names, which differ here.
    point = "" if folders or share.anonymous else state.point
    return replace(state, datasets=tuple(datasets), point=point)


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
            attention.title("Shared view")
            draw_comparison(shared_view(share, share.state), share.study_ids)
    except UnknownStudy:
        dead()
    except DatabaseError as error:
        st.error(audience.database_error(error), icon=":material/database_off:")


if audience.is_viewer():
    page()
else:
    access.require_owner()
    attention.title("Shared")
    st.title("Shared", anchor=False)
    st.info("Shared links open on this page. The address contains none, so there is nothing to see.")
