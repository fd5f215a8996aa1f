"""Who looks at a page, which decides what it may read: viewers of a link see no paths, processes, hosts and people."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import words
from data import shared_links
from data.database.database import Database, DatabaseBusy, DatabaseError
from data.queries.studies import InTrash, UnknownStudy
from data.settings import settings
from data.shared_links import Share
from data.viewers import ViewersDatabase
from engine.errors import UserError

# The key of a session that came with a link: its token.
TOKEN = "access_token"
# The key of such a session's link, as it was read last.
_LINK = "access_link"
# Seconds after which an open page notices at the latest that its link was revoked.
LINK_SECONDS = 2.0
# Seconds for which one session does not ask again.
RUN_SECONDS = 0.3
_forgotten = 0
# Seconds that a page waits for others who use the database; then it shows what it had, or says who they are.
PAGE_PATIENCE = 3.0

TRASHED = "This study is in the Trash. *Studies* shows the Trash, from which you can bring it back."
DELETED = "This study was deleted, perhaps in another tab or from the command line."


def is_viewer() -> bool:
    """Return whether this session came with a link, one that works or not.

    RuntimeError outside of a session, such as in the thread that makes a file for a download: nothing there may depend
    on who looks.
    """
    if runtime.exists() and get_script_run_ctx(suppress_warning=True) is None:
        raise RuntimeError("only a session knows who looks; ask before the work leaves its thread")
    return TOKEN in st.session_state


def link() -> Share | None:
    """Return the link of this session, None unless it works now; raises DatabaseError."""
    token = st.session_state.get(TOKEN)
    if token is None:
        return None
    last: _LastLink | None = st.session_state.get(_LINK)
    known = last if last is not None and last.token == token else None
    # One run of a page asks a hundred times.
    if known is not None and known.forgotten == _forgotten and time.monotonic() - known.read_at < RUN_SECONDS:
        return known.share
    if not settings().database.exists():
        return None
    try:
        share = _link(token)
    except DatabaseBusy:
        # Nobody can revoke a link either while others use the database.
        if known is None or known.share is None:
            raise
        return None if known.share.has_ended() else known.share
    st.session_state[_LINK] = _LastLink(token, share, time.monotonic(), _forgotten)
    return share


@dataclass(frozen=True)
class _LastLink:
    """The link of a session as it was read last, and how often `forget_links` had been called then."""

    token: str
    share: Share | None
    read_at: float
    forgotten: int


@st.cache_data(ttl=LINK_SECONDS, max_entries=512, show_spinner=False)
def _link(token: str) -> Share | None:
    return shared_links.find(whole_database(), token)


def forget_links() -> None:
    """Drop all cached links, so that a revoked one stops working at once."""
    global _forgotten
    _forgotten += 1
    _link.clear()


def database() -> Database:
    """Return the database as this visitor may read it."""
    return ViewersDatabase(whole_database(), link()) if is_viewer() else whole_database()


def whole_database() -> Database:
    """Return the database of this installation, which pages may ask for links alone."""
    return _database(settings().database)


@lru_cache(maxsize=1)
def _database(path: Path) -> Database:
    # All pages share one `Database`, whose first access locks the file to check whether its tables are up to date.
    return Database(path, patience=PAGE_PATIENCE)


def marker() -> tuple[Any, ...]:
    """Return a value that is equal for visitors who may read the same."""
    if not is_viewer():
        return ()
    share = link()
    if share is None:
        return ("no link",)
    return (*share.study_ids, "anonymous", *astuple(share.anonymous)) if share.anonymous else share.study_ids


def database_error(error: DatabaseError) -> str:
    """Return what a page says of an error of the database."""
    if is_viewer():
        return "The database cannot be read at the moment; this page tries again."
    return words.plain(str(error))


def in_words(error: UserError) -> str:
    """Return what a page says of an error, in Markdown and in words of the pages."""
    if isinstance(error, DatabaseError):
        return database_error(error)
    if isinstance(error, InTrash):
        return TRASHED
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
