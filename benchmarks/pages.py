"""Is every page of the dashboard fast over a full database? python -m benchmarks.pages --home DIR."""

import argparse
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page
from rich.table import Table

from benchmarks import busy_study, full_store, options, page_clock, results_io
from benchmarks.full_store import FINISHED, TRAINING
from benchmarks.results_io import ROOT
from benchmarks.widgets import acted
from data import shared_links
from data.database.database import Database
from tests.browser.chromium import launched
from tests.browser.serving import DASHBOARD, served

# Seconds: the longest that a reader may wait for the first chart of a page, and for the answer to a click.
FIRST, REACTION = 2.0, 0.5
WATCHED = 10.0
# The figure with most panels, and the one with most trainings behind it.
FIGURES = ("fig1", "fig7")


@dataclass
class Measured:
    """One thing measured: kind is open_cold, open_new, open_warm or react (seconds each time), or busy (a share)."""

    page: str
    kind: str
    what: str
    limit: float | None
    values: list[float] = field(default_factory=list)
    # Seconds of each reaction until the script was over; the browser draws for the rest.
    script: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.values)

    @property
    def slow(self) -> bool:
        """Whether the median is over the limit."""
        return self.limit is not None and self.median > self.limit


class Notes:
    """All values that were measured, by page, kind and what."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Measured] = {}

    def add(self, page: str, kind: str, what: str, value: float, script: float | None = None) -> None:
        """Add one value, and for a reaction the seconds of its script."""
        limit = None if kind == "busy" else REACTION if kind == "react" else FIRST
        row = self.rows.setdefault((page, kind, what), Measured(page, kind, what, limit))
        row.values.append(round(value, 4))
        if script is not None:
            row.script.append(round(script, 4))


def paths(only: str | None, link: str) -> dict[str, str]:
    """Return the addresses of all pages of app/main.py by title; link: the address of a shared study."""
    names = re.findall(r'st\.Page\(\s*"views/(\w+)\.py"([^)]*)', (ROOT / "app" / "main.py").read_text())
    found: dict[str, str] = {}
    for name, rest in names:
        if name == "study":
            found |= {f"study {study_id}": f"/study?study={study_id}" for study_id in (*FINISHED, TRAINING)}
        elif name == "figure":
            found |= {f"figure {figure}": f"/figure?figure={figure}" for figure in FIGURES}
        elif name == "shared":
            found[name] = link
        else:
            found[name] = "/" if "default=True" in rest else f"/{name}"
    return {title: path for title, path in found.items() if only is None or re.search(only, title)}


def explore(page: Page, title: str, notes: Notes, repeats: int) -> None:
    """Use every widget of an open page, tab by tab, and note how fast it answers."""
    tabs = page.locator("[role=tab]")
    for index in range(max(1, tabs.count())):
        where = title
        if tabs.count():
            tab = tabs.nth(index)
            where = f"{title} · {tab.inner_text().strip()}"
            for _ in range(repeats if tabs.count() > 1 else 0):
                # From another tab each time; the first visit draws charts that later ones only show.
                page_clock.clicked(page, tabs.nth((index + 1) % tabs.count()))
                answer = page_clock.clicked(page, tab)
                if answer:
                    notes.add(where, "react", "open the tab", answer.seconds, answer.script)
        for what, answer in acted(page, repeats):
            notes.add(where, "react", what, answer.seconds, answer.script)


def cold(browser: Browser, home: Path, title: str, path: str, notes: Notes) -> None:
    """Open a page as the first that a fresh dashboard and a fresh browser see."""
    with served(*DASHBOARD, home=home) as address, _page(browser) as page:
        seconds, chart = page_clock.opened(page, address + path)
        notes.add(title, "open_cold", "first chart" if chart else "content", seconds)


def warm(browser: Browser, address: str, title: str, path: str, notes: Notes, repeats: int) -> None:
    """Open a page that was open before, in new browsers and again in one that knows it, and use its widgets."""
    for turn in range(repeats + 1):
        with _page(browser) as page:
            seconds, chart = page_clock.opened(page, address + path)
        if turn:
            notes.add(title, "open_new", "first chart" if chart else "content", seconds)
    with _page(browser) as page:
        page_clock.opened(page, address + path)
        for _ in range(repeats):
            seconds, chart = page_clock.opened(page, address + path)
            notes.add(title, "open_warm", "first chart" if chart else "content", seconds)
        explore(page, title, notes, repeats)


def watched(browser: Browser, address: str, title: str, path: str, notes: Notes) -> None:
    """Leave a page alone, tab by tab, and note how much of the time its script runs."""
    with _page(browser) as page:
        page_clock.opened(page, address + path)
        tabs = page.locator("[role=tab]")
        for index in range(max(1, tabs.count())):
            where = title
            if tabs.count():
                page_clock.clicked(page, tabs.nth(index))
                where = f"{title} · {tabs.nth(index).inner_text().strip()}"
            notes.add(where, "busy", "share of time its script runs", page_clock.busy(page, WATCHED))


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_init_script(page_clock.SCRIPT)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def _training(database: Database) -> Iterator[None]:
    stopping = threading.Event()
    writer = threading.Thread(target=busy_study.train, args=(database, TRAINING, stopping))
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


def measure(given: argparse.Namespace, database: Database) -> Notes:
    """Look at every page: at rest, and while a study trains."""
    notes = Notes()
    _, token = shared_links.create(database, FINISHED[:1])
    chosen = paths(given.only, f"/shared?share={token}")
    with launched() as browser:
        for title, path in results_io.progress(list(chosen.items()) if given.cold else []):
            for _ in range(given.repeats):
                cold(browser, given.home, title, path, notes)
        for live in (False, True)[: 1 + given.live]:
            busy = _training(database) if live else nullcontext()
            with busy, served(*DASHBOARD, home=given.home) as address:
                for title, path in results_io.progress(list(chosen.items())):
                    name = f"{title}, while {TRAINING} trains" if live else title
                    warm(browser, address, name, path, notes, given.repeats)
                    if live and TRAINING in path:
                        watched(browser, address, name, path, notes)
    return notes


def table(notes: Notes) -> Table:
    """Return the medians in milliseconds, and the share of time in percent; ! marks medians over their limit."""
    title = "milliseconds; % of the time where a page is left alone"
    return results_io.table(title, map(_cells, notes.rows.values()), left=("page", "measured", ""))


def _cells(row: Measured) -> dict[str, str]:
    scale, unit = (100, " %") if row.kind == "busy" else (1000, "")
    added = {"open_cold": ", fresh process and browser", "open_new": ", fresh browser"}
    return {
        "page": row.page,
        "measured": row.what + added.get(row.kind, ""),
        "median": f"{scale * row.median:.0f}{unit}",
        "worst": f"{scale * max(row.values):.0f}{unit}",
        "script": f"{scale * statistics.median(row.script):.0f}" if row.script else "",
        "limit": f"{scale * row.limit:.0f}" if row.limit else "",
        "": "!" if row.slow else "",
    }


def fill(database: Database, trainings: int, epochs: int) -> None:
    """Write the full database where there is none yet."""
    if database.path.exists():
        return
    print(f"writing {database.path}, which takes some minutes", file=sys.stderr)
    for events in full_store.write(database, full_store.studies(trainings, epochs)):
        print(f"\r{events:,} events", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def main() -> int:
    """Measure, show it, and write it to the file of --json; 1 where a median is over its limit."""
    given = _arguments()
    given.home = given.home.resolve()
    database = Database(given.home / "ticketscope.duckdb")
    fill(database, given.trainings, given.epochs)
    begin = time.perf_counter()
    notes = measure(given, database)
    results_io.show(table(notes))
    figures = {
        "seconds": round(time.perf_counter() - begin),
        "store": full_store.contents(database, given.epochs),
        "limits": {"first chart": FIRST, "reaction": REACTION},
        "measured": [asdict(row) | {"median": row.median, "worst": max(row.values)} for row in notes.rows.values()],
    }
    results_io.write("pages", given, figures)
    return int(any(row.slow for row in notes.rows.values()))


def _arguments() -> argparse.Namespace:
    parser = options.parser("pages", __doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the full database; written where missing")
    parser.add_argument("--trainings", type=int, default=5000, help="finished trainings at least (default 5000)")
    parser.add_argument("--epochs", type=int, default=150, help="epochs of each training (default 150)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each thing (default 3)")
    parser.add_argument("--only", help="a regular expression that finds the names of the pages to measure")
    parser.add_argument("--no-cold", dest="cold", action="store_false", help="leave out fresh dashboard processes")
    parser.add_argument("--no-live", dest="live", action="store_false", help="leave out the pages while a study trains")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
