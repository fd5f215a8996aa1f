"""Scripts of a page, which the reader's browser runs."""

import streamlit as st

# A rule in app/style.css goes by this: a script takes no room between the parts of a page.
_KEY = "script-"


def run(name: str, code: str) -> None:
    """Let the browser run JavaScript whenever this part of the page is drawn; name: distinguishes it on its page."""
    with st.container(key=f"{_KEY}{name}"):
        st.html(f"<script>{code}</script>", unsafe_allow_javascript=True)
