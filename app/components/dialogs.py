"""Dialogs that stay open until the reader closes them, even when the page behind them is drawn again.

A page is drawn again when the state of its study changes. Streamlit closes a dialog that the new run does not open,
and a new link in it, which is shown only once, would be lost.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.state.live import is_expected
from app.state.queries import FINISHED
from data.queries.studies import StudyRecord

_OPEN = "open_dialog"


def button(label: str, name: str, forget: Sequence[str] = (), **options: Any) -> bool:
    """Show a button that opens a dialog, and return whether the dialog is open and must be drawn.

    name: distinguishes the dialog from all others, for example by its study. forget: keys to remove from the session
    when the dialog opens. options: as in `st.button`.
    """
    st.button(label, on_click=_open, args=(name, tuple(forget)), **options)
    return bool(st.session_state.get(_OPEN) == name)


def is_open() -> bool:
    """Return whether a dialog is open."""
    return _OPEN in st.session_state


def close() -> None:
    """Close the open dialog; call it in a button's on_click, a dialog's on_dismiss, and before leaving the page."""
    st.session_state.pop(_OPEN, None)


def destructive(label: str, key: str, **options: Any) -> bool:
    """Show a button that looks like what it does, removing something, and return whether it was clicked."""
    # A rule in app/style.css goes by this key.
    with st.container(key=f"destructive-{key}", width="content"):
        return st.button(label, key=key, **options)


def no(label: str, key: str) -> None:
    """Show the button that closes the dialog around it without an action."""
    if st.button(label, key=key, on_click=close):
        st.rerun()


def _open(name: str, forget: Sequence[str]) -> None:
    st.session_state[_OPEN] = name
    for key in forget:
        st.session_state.pop(key, None)


def refresh_seconds(record: StudyRecord, seconds: float) -> float | None:
    """Return the seconds between refreshes of a part of a study's page; None where the study cannot change.

    Behind an open dialog nothing is refreshed: when a refresh and a switch to another page coincide, Streamlit clears
    the new page in the browser and cannot draw it again.
    """
    if is_open():
        return None
    return seconds if record.state not in FINISHED or is_expected(record.study_id) else None
