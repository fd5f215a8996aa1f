"""Dialogs that stay open until somebody closes them, whatever the page behind does meanwhile.

A page is drawn anew as a whole when its study changes its state; Streamlit would drop a dialog that this run does not
open again, perhaps with a link in it that is shown this once.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.state.live import is_expected
from app.state.queries import FINISHED
from data.queries.studies import StudyRecord

_OPEN = "asking"


def button(label: str, what: str, forget: Sequence[str] = (), **options: Any) -> bool:
    """Show a button that opens a dialog, and return whether that is open, and so to be drawn.

    what: tells the dialog from all others, such as by the study that it is about. forget: keys of the session that it
    begins without. options: as st.button takes them.
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
    """Show, within a dialog, the button that closes it and does nothing."""
    if st.button(label, key=key, on_click=close):
        st.rerun()


def _open(what: str, forget: Sequence[str]) -> None:
    st.session_state[_OPEN] = what
    for name in forget:
        st.session_state.pop(name, None)


def every(record: StudyRecord, seconds: float) -> float | None:
    """Return how often to refresh what shows a study: after so many seconds while it may change, else never.

    Behind a dialog nothing refreshes itself: where a refresh was asked for just as the dialog's answer leads to another
    page, Streamlit clears that page in the browser and cannot draw it any more.
    """
    if is_open():
        return None
    return seconds if record.state not in FINISHED or is_expected(record.study_id) else None
