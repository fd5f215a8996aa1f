"""The page of an address that names no page, in place of which Streamlit would show the first one."""

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import words
from app.auth import access

_NAME = "unknown_page"
LONGEST = 100
# What a reader may type for the first page, whose path is empty.
FIRST = "studies"


def page(known: Sequence[StreamlitPage]) -> list[StreamlitPage]:
    """Return the page of the address that this session opened, if none of the known ones has it."""
    context = get_script_run_ctx(suppress_warning=True)
    asked = (context.pages_manager.intended_page_name if context is not None else None) or ""
    if asked and asked not in {page.url_path for page in known}:
        # Streamlit allows no slashes in the path of a page.
        st.session_state[_NAME] = asked.replace("/", " ").strip()[:LONGEST]
    name = st.session_state.get(_NAME)
    # Every run declares it, so that the page stays until another is opened.
    return [st.Page(_draw, title="No such page", url_path=name, visibility="hidden")] if name else []


def _draw() -> None:
    access.require_owner()
    if st.session_state[_NAME] == FIRST:
        st.switch_page("views/studies.py")
    st.title("No such page", anchor=False)
    st.error(
        f"This dashboard has no page {words.plain(repr(st.session_state[_NAME]))}. The menu above lists all pages.",
        icon=":material/search_off:",
    )
    st.page_link("views/studies.py", label="All studies", icon=":material/arrow_back:")
