"""Turns of viewers: few of their pages are drawn at once, so that a crowd does not keep owners waiting."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.state import audience
from data.shared_links import TOKEN

# One page at a time would wait for the database while others could be drawn; many would share one core all the same.
AT_ONCE = 2

# Those who wait get their turns in the order in which they came.
_turns = threading.Semaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """Wait, as a viewer, until few other pages of viewers are drawn; the whole page is drawn within the block."""
    if not _is_crowd():
        yield
        return
    with _turns:
        yield


def _is_crowd() -> bool:
    return audience.is_viewer() or TOKEN in st.query_params
