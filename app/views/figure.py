"""Figure: one figure of the paper, drawn from this installation's runs, at /figure?figure=<id>."""

import streamlit as st

from app import words
from app.auth import access
from app.paper import figure, overview
from app.state import attention
from engine.paper import figures


def page() -> None:
    """Draw the page."""
    name = st.query_params.get("figure", "")
    if name in figures.FIGURES:
        attention.title(figures.FIGURES[name].title)
        overview.guarded(lambda chosen: figure.page(figures.FIGURES[name], chosen))
        return
    st.title("No such figure", anchor=False)
    st.error(
        f"The paper has no figure {words.plain(repr(name))}." if name else "The address names no figure.",
        icon=":material/search_off:",
    )
    st.page_link("views/paper.py", label="All figures", icon=":material/arrow_back:")


access.require_owner()
page()
