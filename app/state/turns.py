"""Turns of viewers: few of their pages are drawn at once, so that a crowd does not keep owners waiting."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.state import audience
from data.shared_links import TOKEN

# Pages share one core all the same, and several at once keep that of an owner waiting.
AT_ONCE = 1
# Seconds after which a page is drawn without its turn: the one before may wait for the database.
LONGEST = 10.0

# Those who wait get their turns in the order in which they came.
_turns = threading.Semaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """Wait, as a viewer, until few other pages of viewers are drawn; the whole page is drawn within the block."""
    has_turn = _is_crowd() and _turns.acquire(timeout=LONGEST)
    try:
        yield
    finally:
        if has_turn:
            _turns.release()


def _is_crowd() -> bool:
    return audience.is_viewer() or TOKEN in st.query_params
