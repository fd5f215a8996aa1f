"""Who looks at a page, which decides how an error is worded: viewers are not shown paths, processes and hosts."""

import streamlit as st

from app import words
from data.database.database import DatabaseError

# The key of a session that came with a link: its token.
TOKEN = "access_token"


def is_viewer() -> bool:
    """Return whether this session came with a link, one that works or not."""
    return TOKEN in st.session_state


def database_error(error: DatabaseError) -> str:
    """Return what a page says of an error of the database."""
    if is_viewer():
        return "The database cannot be read at the moment; this page tries again."
    return words.plain(str(error))
