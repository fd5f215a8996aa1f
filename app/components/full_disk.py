"""A line on every page of an owner while the disk of the home has no space."""

import errno
import shutil

import streamlit as st

from app import words
from data.os_errors import explained
from data.settings import settings
from tasks.broker.server import LEAST_SPACE

REFRESH = 5.0


@st.fragment(run_every=REFRESH)
def warn() -> None:
    """Say that the disk of the home is full, as long as it is."""
    home = settings().home
    if home.exists() and shutil.disk_usage(home).free < LEAST_SPACE:
        full = explained(OSError(errno.ENOSPC, ""), home)
        st.error(
            f"{words.plain(full[0].upper() + full[1:])}. Everything waits until then, and nothing is lost.",
            icon=":material/hard_drive:",
        )
