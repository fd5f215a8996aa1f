"""Glossary: the words of the pages, with the paper's symbols."""

import tomllib
from pathlib import Path

import streamlit as st

from app import words
from app.auth import access

TERMS: list[dict[str, str]] = tomllib.loads(
    Path(__file__).parents[1].joinpath("glossary.toml").read_text(encoding="utf-8")
)["term"]


def page() -> None:
    """Draw the page."""
    st.title("Glossary", anchor=False)
    query = st.text_input(
        "Search the glossary", type="search", key="glossary_search", placeholder="Search", label_visibility="collapsed"
    )
    found = [term for term in TERMS if words.matches(query, f"{term['name']} {term['symbol']} {term['meaning']}")]
    if not found:
        st.info(f"No entry matches “{words.plain(query)}”. Search looks at names, symbols and meanings.")
        return
    for term in sorted(found, key=lambda term: term["name"].lower()):
        with st.container(key=f"term-{TERMS.index(term)}", gap=None, width=860):
            symbol = f" :gray[{words.plain(term['symbol'])}]" if term["symbol"] else ""
            st.markdown(f"**{words.plain(term['name'])}**{symbol}  \n{words.plain(term['meaning'])}")


access.require_owner()
page()
