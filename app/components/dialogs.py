"""Dialogs that stay open until the reader closes them, even while the page behind is drawn again.

A page is drawn again as a whole when the state of its study changes; Streamlit would close a dialog that this run does
not open again, perhaps with a link in it that is shown only once.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.state.live import is_expected
from app.state.queries import FINISHED
from data.queries.studies import StudyRecord

_OPEN = "open_dialog"


def button(label: str, what: str, forget: Sequence[str] = (), **options: Any) -> bool:
    """Show a button that opens a dialog, and return whether the dialog is open and must be drawn.

    what: names the dialog among all others, for example by its study. forget: keys to remove from the session when it
    opens. options: as st.button takes them.
    """
    st.button(label, on_click=_open, args=(what, tuple(forget)), **options)
    return bool(st.session_state.get(_OPEN) == what)


def is_open() -> bool:
    """Return whether a dialog is open."""
    return _OPEN in st.session_state


def close() -> None:
    """Close the dialog that is open; for a button's on_click, a dialog's on_dismiss, and before leaving the page."""
    st.session_state.pop(_OPEN, None)


def no(label: str, key: str) -> None:
    """Show the button that closes the dialog around it without an action."""
    if st.button(label, key=key, on_click=close):
        st.rerun()


def _open(what: str, forget: Sequence[str]) -> None:
    st.session_state[_OPEN] = what
    for name in forget:
        st.session_state.pop(name, None)


def refresh_seconds(record: StudyRecord, seconds: float) -> float | None:
    """Return after how many seconds to refresh what shows a study: the number while it may change, else None.

    Behind a dialog nothing refreshes itself: where a refresh is requested just as the dialog leads to another page,
    Streamlit clears that page in the browser and cannot draw it any more.
    """
    if is_open():
        return None
    return seconds if record.state not in FINISHED or is_expected(record.study_id) else None
