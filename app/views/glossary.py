"""Glossary: the terms of the pages, with the paper's symbols."""

import streamlit as st

from app import words
from app.auth import access
from app.guide.terms import TERM, linked, terms
from app.state import plugins


def page() -> None:
    """Draw the page; a link to a term opens it alone, with a way to all others."""
    st.title("Glossary", anchor=False)
    plugins.warn()
    asked = st.query_params.get(TERM, "")
    if asked not in {term.name for term in terms()}:
        asked = ""
    if asked:
        if st.button("All terms", icon=":material/arrow_back:", key="glossary_all"):
            del st.query_params[TERM]
            st.rerun()
        matching = {index: term for index, term in enumerate(terms()) if term.name == asked}
    else:
        query = st.text_input(
            "Search the glossary",
            type="search",
            key="glossary_search",
            placeholder="Search",
            label_visibility="collapsed",
        )
        matching = {
            index: term
            for index, term in enumerate(terms())
            if words.matches(query, f"{term.name} {term.symbol} {term.meaning}")
        }
        if not matching:
            st.info(f"No entry matches “{words.plain(query)}”. Search looks at names, symbols and meanings.")
    for index, term in matching.items():
        with st.container(key=f"term-{index}", gap=None, width=860):
            symbol = f" :gray[{words.marked(term.symbol)}]" if term.symbol else ""
            st.markdown(f"**{words.plain(term.name)}**{symbol}  \n{linked(term.meaning, but=term.name)}")


access.require_owner()
page()
