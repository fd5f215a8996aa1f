"""What a page says of trainings that diverged, so that nobody wonders why there are fewer seeds."""

import pandas as pd
import streamlit as st

from app import words
from data.queries.divergence import in_words


def told(rows: pd.DataFrame) -> str:
    """Return in plain text which trainings diverged and what follows; empty where none did.

    rows: of `data.queries.divergence.divergences` or `data.queries.points.diverged`.
    """
    sentence = in_words(rows, words.place)
    return sentence and f"{sentence} Means, bands and n are without them."


def note(rows: pd.DataFrame) -> None:
    """Say it in a caption, where there is something to say."""
    if sentence := told(rows):
        st.caption(words.plain(sentence))


def nothing(rows: pd.DataFrame, so_far: str) -> None:
    """Say why there is nothing to show: everything that is done diverged, or else what is told of a study so far."""
    sentence = in_words(rows, words.place)
    st.info(f"No training has come to an end with a finite loss. {words.plain(sentence)}" if sentence else so_far)
