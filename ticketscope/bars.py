"""A bar that shows how far something is: in a notebook, in a terminal, or as lines where there is neither."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.markup import escape as plain
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

# Takes what is being done, how much of it is done, and of how much; a total of 0 is not known.
Say = Callable[[str, int, int], None]

# Seconds between two changes of a bar in a notebook, each of which is a message to the browser, and between two lines.
CHANGE, LINE = 0.25, 60.0


@contextmanager
def shown() -> Iterator[Say]:
    """Yield a function that shows the latest progress that it is called with, within the block."""
    if _in_notebook():
        say = _Notebook()
        yield say
        if say.latest is not None:
            say.draw(*say.latest)
    elif sys.stderr.isatty():
        yield from _terminal()
    else:
        yield _Lines()


def _in_notebook() -> bool:
    """Return whether a kernel of Jupyter runs this code, which draws what it is sent."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Notebook:
    """Draws a bar as HTML in the output of a cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn_at = 0.0
        # What was said last.
        self.latest: tuple[str, int, int] | None = None

    def __call__(self, text: str, done: int, total: int) -> None:
        self.latest = (text, done, total)
        if time.monotonic() - self._drawn_at >= CHANGE:
            self.draw(text, done, total)

    def draw(self, text: str, done: int, total: int) -> None:
        """Draw a state in place of the one before."""
        from IPython.display import display

        value = f' value="{done}" max="{total}"' if total else ""
        bar = {"text/html": f"<progress{value}></progress> {escape(text)}", "text/plain": _line(text, done, total)}
        if self._handle is None:
            self._handle = display(bar, raw=True, display_id=True)
        else:
            self._handle.update(bar, raw=True)
        self._drawn_at = time.monotonic()


def _terminal() -> Iterator[Say]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as drawing:
        bar = drawing.add_task("", total=None)

        def say(text: str, done: int, total: int) -> None:
            drawing.update(bar, description=plain(text), completed=done, total=total or None)

        yield say


class _Lines:
    """Prints a line to stderr at first, at the end, and once a minute."""

    def __init__(self) -> None:
        self._printed_at = -LINE

    def __call__(self, text: str, done: int, total: int) -> None:
        if time.monotonic() - self._printed_at >= LINE or (total and done >= total):
            print(_line(text, done, total), file=sys.stderr, flush=True)
            self._printed_at = time.monotonic()


def _line(text: str, done: int, total: int) -> str:
    return f"{text}, {100 * done // total} %" if total else text
