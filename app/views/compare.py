"""Compare: any studies side by side, at /compare; the address contains every choice."""

import pandas as pd
import streamlit as st

from app import words
from app.auth import access
from app.compare.page import draw_comparison, first_view
from app.compare.state import CompareState, decode, encode, from_query, to_query
from app.components import share_dialog
from app.state import audience, queries
from data import saved_views
from data.database.database import DatabaseError
from data.queries.studies import UnknownStudy
from data.saved_views import ViewError

# The parameter with which other pages name studies to compare in the default view.
NEW = "new"
# Session keys: the addresses that this session wrote, and the state that the visitor's own address describes.
_WRITTEN, _BEGAN = "compare_written", "compare_began"
# The saved view whose name is being changed.
_RENAMED = "compare_view_renamed"


def origin(known: list[str], listed: pd.DataFrame) -> tuple[CompareState, tuple[str, ...]]:
    """Return the state that the address describes, and what is wrong with the address."""
    params = st.query_params.to_dict()
    query = _sorted(params)
    # The last two addresses count, since a browser may still send the one before the last.
    if query in st.session_state.get(_WRITTEN, ()):
        began: tuple[CompareState, tuple[str, ...]] = st.session_state[_BEGAN]
        return began[0], ()
    if NEW in params:
        state, problems = decode({"s": params[NEW]}, known)
        state = first_view(state.studies)
    elif params:
        state, problems = decode(params, known)
    else:
        done = listed[listed["done"] > 0]["study_id"]
        state, problems = first_view(list(done.head(1))), ()
    st.session_state[_BEGAN] = (state, problems)
    return state, problems


def _sorted(params: dict[str, str]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def write(state: CompareState, known: list[str]) -> None:
    """Write the state of the page into the address."""
    params = encode(state, known)
    if st.query_params.to_dict() != params:
        st.query_params.from_dict(params)
    written = [*st.session_state.get(_WRITTEN, ()), _sorted(params)]
    st.session_state[_WRITTEN] = list(dict.fromkeys(reversed(written)))[:2]


def copy_link(state: CompareState, known: list[str]) -> None:
    """Show the address of this view, to copy."""
    address = (st.context.url or "").partition("?")[0]
    with st.popover("Copy link", icon=":material/link:", key="compare_link"):
        st.caption("The address of this view, with every choice:")
        st.code(f"{address}?{to_query(state, known)}", language=None, wrap_lines=True)


def saved(state: CompareState, known: list[str]) -> None:
    """Let the reader save this view, and open, rename and delete saved ones."""
    with st.popover("Saved views", icon=":material/bookmark:", key="compare_views"):
        with st.form("compare_save", border=False, clear_on_submit=True):
            name = st.text_input("Save this view as", max_chars=saved_views.LONGEST, key="compare_name")
            if st.form_submit_button("Save view", type="primary", key="compare_save_button"):
                try:
                    # The view is saved with whole ids, since a part that is unique today may not be so later.
                    saved_views.save(queries.database(), name, to_query(state))
                    st.toast(f"Saved “{words.plain(' '.join(name.split()))}”.", icon=":material/bookmark_added:")
                except (ViewError, DatabaseError) as error:
                    st.error(audience.in_words(error))
        views = saved_views.list(queries.database())
        if views.empty:
            st.caption("No view is saved yet.")
        for row in views.itertuples():
            _saved_view(str(row.view_id), str(row.name), str(row.state), known)


def _saved_view(view_id: str, name: str, query: str, known: list[str]) -> None:
    if st.session_state.get(_RENAMED) == view_id:
        _renaming(view_id, name)
        return
    with st.container(horizontal=True, vertical_alignment="center", key=f"view-{view_id}"):
        state, problems = from_query(query, known)
        st.page_link("views/compare.py", label=words.plain(name), query_params=encode(state, known), width="stretch")
        if problems:
            st.markdown(":material/warning:", help=" ".join(problems), width="content")
        st.button(
            "",
            icon=":material/edit:",
            help="Rename",
            key=f"view-rename-{view_id}",
            type="tertiary",
            on_click=st.session_state.update,
            args=({_RENAMED: view_id},),
        )
        st.button(
            "",
            icon=":material/delete:",
            help="Delete",
            key=f"view-delete-{view_id}",
            type="tertiary",
            on_click=audience.attempt,
            args=(saved_views.delete, queries.database(), view_id),
        )


def _renaming(view_id: str, name: str) -> None:
    with st.form(f"view-name-{view_id}", border=False):
        new_name = st.text_input("New name", name, max_chars=saved_views.LONGEST, key=f"view-new-name-{view_id}")
        with st.container(horizontal=True):
            rename = st.form_submit_button("Rename", type="primary", key=f"view-renamed-{view_id}")
            cancel = st.form_submit_button("Cancel", key=f"view-kept-{view_id}")
    if rename:
        try:
            saved_views.rename(queries.database(), view_id, new_name)
        except (ViewError, DatabaseError) as error:
            st.error(audience.in_words(error))
            return
    if rename or cancel:
        del st.session_state[_RENAMED]
        st.rerun()


def page() -> None:
    """Draw the page."""
    if not queries.exists() or (listed := queries.studies()).empty:
        st.title("Compare", anchor=False)
        st.info("There is no study to compare yet. The Studies page says how to launch one.")
        st.page_link("views/studies.py", label="Studies", icon=":material/arrow_back:")
        return
    known = [str(study_id) for study_id in listed["study_id"]]
    state, problems = origin(known, listed)
    head = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    for problem in problems:
        st.warning(words.plain(problem), icon=":material/link_off:")
    state = draw_comparison(state)
    write(state, known)
    # The head is filled last, since the links in it depend on what the page shows.
    with head:
        st.title("Compare", anchor=False, width="content")
        with st.container(horizontal=True, width="content", gap="small"):
            copy_link(state, known)
            saved(state, known)
            share_dialog.share_view(state.studies, to_query(state))


access.require_owner()
try:
    page()
except UnknownStudy:
    # A study was deleted while the page was drawn; the next run reads the list without it.
    st.rerun()
