"""Sentences about trainings that diverged, which explain why a page has fewer seeds."""

import pandas as pd
import streamlit as st

from app import words
from data.queries.divergence import in_words


def sentence(rows: pd.DataFrame) -> str:
    """Return in plain text which trainings diverged, and that means leave them out; empty where none did.

    rows: of `data.queries.divergence.divergences` or `data.queries.points.diverged`.
    """
    text = in_words(rows, words.place)
    return text and f"{text} Means, bands and n are without them."


def note(rows: pd.DataFrame) -> None:
    """Show the sentence as a caption, where a training diverged."""
    if text := sentence(rows):
        st.caption(words.plain(text))


def nothing(rows: pd.DataFrame, so_far: str) -> None:
    """Say why there is nothing to show: all finished trainings diverged, or else the text `so_far`."""
    text = in_words(rows, words.place)
    st.info(f"No training ended with a finite loss. {words.plain(text)}" if text else so_far)
