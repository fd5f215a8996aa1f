"""A line on every page of an owner while the disk of the home has no space."""

import streamlit as st

from app import words
from data.os_errors import full_disk
from data.settings import settings

REFRESH = 5.0


@st.fragment(run_every=REFRESH)
def warn() -> None:
    """Say that the disk of the home is full, as long as it is."""
    home = settings().home
    if home.exists() and (full := full_disk(home)):
        st.error(
            f"{words.plain(full[0].upper() + full[1:])}. Everything waits until then, and nothing is lost.",
            icon=":material/hard_drive:",
        )
