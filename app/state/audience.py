"""Who looks at a page, which decides how an error is worded: viewers are not shown paths, processes and hosts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app import words
from data.database.database import DatabaseError
from data.queries.studies import UnknownStudy
from engine.errors import UserError

# The key of a session that came with a link: its token.
TOKEN = "access_token"

DELETED = "This study was deleted, perhaps in another tab or from the command line."


def is_viewer() -> bool:
    """Return whether this session came with a link, one that works or not."""
    return TOKEN in st.session_state


def database_error(error: DatabaseError) -> str:
    """Return what a page says of an error of the database."""
    if is_viewer():
        return "The database cannot be read at the moment; this page tries again."
    return words.plain(str(error))


def in_words(error: UserError) -> str:
    """Return what a page says of an error, in Markdown and in words of the pages."""
    if isinstance(error, DatabaseError):
        return database_error(error)
    if isinstance(error, UnknownStudy):
        return DELETED
    return words.plain(str(error))


@contextmanager
def database_errors() -> Iterator[None]:
    """Show in place of the block's output why the database cannot be read."""
    try:
        yield
    except DatabaseError as error:
        st.error(database_error(error), icon=":material/database_off:")


def attempt(action: Callable[..., object], *arguments: object) -> None:
    """Call an action, for the on_click of a button; if it fails, say why, since nothing else would catch the error."""
    try:
        action(*arguments)
    except UserError as error:
        st.toast(in_words(error), icon=":material/error:", duration="long")
