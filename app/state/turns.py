"""Turns of viewers: few of their pages and files are made at once, so that a crowd does not keep owners waiting."""

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
    if not _is_crowd():
        yield
        return
    with viewers_turn(LONGEST):
        yield


@contextmanager
def viewers_turn(seconds: float) -> Iterator[bool]:
    """Wait until few pages and files of viewers are made, at most some seconds; yield whether the turn came."""
    has_turn = _turns.acquire(timeout=seconds)
    try:
        yield has_turn
    finally:
        if has_turn:
            _turns.release()


def _is_crowd() -> bool:
    return audience.is_viewer() or TOKEN in st.query_params
