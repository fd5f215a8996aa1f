"""The plugins that this dashboard could not load, on the pages that show what plugins add."""

import streamlit as st

from app import words
from data.plugins import loading


def warn() -> None:
    """Say of each plugin that is not loaded why, with file and line."""
    for sentence in loading.sentences(loading.loaded()):
        st.warning(f"{words.plain(sentence[0].upper() + sentence[1:])}", icon=":material/extension_off:")
