"""Checking the images of folders before a launch, in the background, so that no rerun of a page begins it anew."""

import threading
import time
from concurrent.futures import Future, wait

import streamlit as st

from app import words
from data.datasets.check import check
from data.settings import settings

# Seconds after which a check shows its progress, and between two looks at it.
SHOWN_AFTER, LOOK = 1.0, 0.2


class _Check:
    """A check of one dataset that goes on, whatever becomes of the page that began it."""

    def __init__(self, name: str) -> None:
        self.done, self.total = 0, 0
        self.outcome: Future[None] = Future()
        # A thread of a pool would keep the dashboard from stopping.
        threading.Thread(target=self._run, args=(name,), name="folder check", daemon=True).start()

    def _run(self, name: str) -> None:
        try:
            check(name, settings().home, self._report)
        except BaseException as error:  # It is raised by the pages that wait.
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)

    def _report(self, what: str, done: int, total: int) -> None:
        del what
        self.done, self.total = done, total


_checks: dict[str, _Check] = {}
_lock = threading.Lock()


def require_sound(names: tuple[str, ...]) -> None:
    """Wait until the images of datasets are checked, showing how far that is; raises what `check` raises.

    A page that is run again meanwhile, and others that launch the same images, wait for the same check.
    """
    for name in names:
        _wait(name)


def _wait(name: str) -> None:
    with _lock:
        running = _checks.get(name)
        if running is None or running.outcome.done():
            running = _checks[name] = _Check(name)
    place, began = st.empty(), time.monotonic()
    while not wait([running.outcome], timeout=LOOK).done:
        # Streamlit ends the run here if the page has changed.
        if time.monotonic() - began > SHOWN_AFTER and running.total:
            count = f"{running.done:,} of {words.plural(running.total, 'image')} of {words.dataset(name)}"
            place.progress(running.done / running.total, text=f"Checking: {words.plain(count)}")
        else:
            place.caption(f"Checking {words.plain(words.dataset(name))}…")
    place.empty()
    with _lock:
        if _checks.get(name) is running:
            del _checks[name]
    running.outcome.result()
