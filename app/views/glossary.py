"""Glossary: the terms of the pages, with the paper's symbols."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app import words
from app.auth import access
from engine.registry import NETWORKS, PRUNERS, STARTS

_FILE = Path(__file__).parents[1] / "glossary.toml"


@dataclass(frozen=True)
class Term:
    """A term, the paper's symbol for it (empty if it has none), and its meaning in sentences."""

    name: str
    symbol: str
    meaning: str


def terms() -> list[Term]:
    """Return the terms of the file and the starts, pruners and networks of the registry, in alphabetical order."""
    file = tomllib.loads(_FILE.read_text(encoding="utf-8"))["term"]
    starts = [
        Term(start.title, start.symbol, _sentences("A start", start.about, start.origin)) for start in STARTS.values()
    ]
    pruners = [Term(pruner.title, "", _sentences("A pruner", pruner.about)) for pruner in PRUNERS.values()]
    networks = [Term(network.title, "", _sentences("A network", network.about)) for network in NETWORKS.values()]
    others = [Term(**entry) for entry in file]
    return sorted([*others, *starts, *pruners, *networks], key=lambda term: term.name.lower())


def _sentences(kind: str, about: str, origin: str = "") -> str:
    source = f"Source: {origin}." if origin else ""
    return " ".join(sentence for sentence in (f"{kind}.", about, source) if sentence)


def page() -> None:
    """Draw the page."""
    st.title("Glossary", anchor=False)
    query = st.text_input(
        "Search the glossary", type="search", key="glossary_search", placeholder="Search", label_visibility="collapsed"
    )
    matching = {
        index: term
        for index, term in enumerate(terms())
        if words.matches(query, f"{term.name} {term.symbol} {term.meaning}")
    }
    if not matching:
        st.info(f"No entry matches “{words.plain(query)}”. Search looks at names, symbols and meanings.")
        return
    for index, term in matching.items():
        with st.container(key=f"term-{index}", gap=None, width=860):
            symbol = f" :gray[{words.plain(term.symbol)}]" if term.symbol else ""
            st.markdown(f"**{words.plain(term.name)}**{symbol}  \n{words.plain(term.meaning)}")


access.require_owner()
page()
