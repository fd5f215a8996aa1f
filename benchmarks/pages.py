"""Is every page of the dashboard fast over a full database? python -m benchmarks.pages --home DIR."""

import argparse
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page
from rich.table import Table

from benchmarks import busy_study, full_database, options, page_clock, results_io
from benchmarks.full_database import FINISHED, TRAINING
from benchmarks.results_io import ROOT
from benchmarks.widgets import answers
from data import shared_links
from data.database.database import Database
from tests.browser.chromium import launched
from tests.browser.serving import DASHBOARD, served

# Seconds: the longest that a reader may wait for the first chart of a page, in a browser that knows it and in a fresh
# one, and for the answer to a click.
FIRST, FRESH, REACTION = 2.0, 3.0, 0.5
# Bytes that the dashboard may take.
MEMORY = 1_000_000_000
WATCHED = 10.0
# The figure with most panels, and the one with most trainings behind it.
FIGURES = ("fig1", "fig7")


@dataclass
class PageTimes:
    """The repeated measurements of one action on a page.

    kind: open_cold, open_new, open_warm or react, in seconds, or busy, a share of the time. script: for a reaction, the
    seconds until the script had run; the browser draws during the rest.
    """

    page: str
    kind: str
    what: str
    limit: float | None
    values: list[float] = field(default_factory=list)
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
    """All measured values, by page, kind and action."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], PageTimes] = {}
        # The most that the dashboard had after any page.
        self.memory = 0

    def add(self, page: str, kind: str, what: str, value: float, script: float | None = None) -> None:
        """Add one measured value; script: the seconds until the script of a reaction had run."""
        limit = {"react": REACTION, "open_warm": FIRST, "open_cold": FRESH, "open_new": FRESH}.get(kind)
        row = self.rows.setdefault((page, kind, what), PageTimes(page, kind, what, limit))
        row.values.append(round(value, 4))
        if script is not None:
            row.script.append(round(script, 4))


def paths(only: str | None, link: str) -> dict[str, str]:
    """Return the addresses of all pages of app/main.py by title; link: the address of a shared study."""
    names = re.findall(r'st\.Page\(\s*"views/(\w+)\.py"([^)]*)', (ROOT / "app" / "main.py").read_text())
    addresses: dict[str, str] = {}
    for name, rest in names:
        if name == "study":
            addresses |= {f"study {study_id}": f"/study?study={study_id}" for study_id in (*FINISHED, TRAINING)}
        elif name == "figure":
            addresses |= {f"figure {figure}": f"/figure?figure={figure}&scale=paper" for figure in FIGURES}
        elif name == "shared":
            addresses[name] = link
        else:
            addresses[name] = "/" if "default=True" in rest else f"/{name}"
    return {title: path for title, path in addresses.items() if only is None or re.search(only, title)}


def explore(page: Page, title: str, notes: Notes, repeats: int) -> None:
    """Use every widget of an open page, tab by tab, and note how fast it answers."""
    tabs = page.locator("[role=tab]")
    for index in range(max(1, tabs.count())):
        where = title
        if tabs.count():
            tab = tabs.nth(index)
            where = f"{title} · {tab.inner_text().strip()}"
            for _ in range(repeats if tabs.count() > 1 else 0):
                # Each visit comes from another tab; only the first one draws the charts.
                page_clock.clicked(page, tabs.nth((index + 1) % tabs.count()))
                answer = page_clock.clicked(page, tab)
                if answer:
                    notes.add(where, "react", "open the tab", answer.seconds, answer.script)
        for what, answer in answers(page, repeats):
            notes.add(where, "react", what, answer.seconds, answer.script)


def cold(browser: Browser, home: Path, title: str, path: str, notes: Notes) -> None:
    """Open a page as the first one of a new dashboard process and a new browser."""
    with served(*DASHBOARD, home=home) as address, _page(browser) as page:
        seconds, chart = page_clock.opened(page, address + path)
        notes.add(title, "open_cold", "first chart" if chart else "content", seconds)


def warm(browser: Browser, address: str, title: str, path: str, notes: Notes, repeats: int) -> None:
    """Open a page that the dashboard has shown before, in new browsers and repeatedly in one, and use its widgets."""
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
    """Note the share of time that a page's script runs without any click, tab by tab."""
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


def measure(arguments: argparse.Namespace, database: Database) -> Notes:
    """Measure every page, without and with a study in training."""
    notes = Notes()
    _, token = shared_links.create(database, FINISHED[:1])
    addresses = paths(arguments.only, f"/shared?share={token}")
    with launched() as browser:
        for title, path in results_io.progress(list(addresses.items()) if arguments.cold else []):
            for _ in range(arguments.repeats):
                cold(browser, arguments.home, title, path, notes)
        for live in (False, True)[: 1 + arguments.live]:
            busy = _training(database) if live else nullcontext()
            with busy, served(*DASHBOARD, home=arguments.home) as address:
                for title, path in results_io.progress(list(addresses.items())):
                    name = f"{title}, while {TRAINING} trains" if live else title
                    warm(browser, address, name, path, notes, arguments.repeats)
                    notes.memory = max(notes.memory, _memory())
                    if live and TRAINING in path:
                        watched(browser, address, name, path, notes)
    return notes


def _memory() -> int:
    """Return the bytes in memory of the dashboard, the only process that this one started with its server."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        # A process of the browser may end meanwhile.
        with suppress(psutil.Error):
            total += process.memory_info().rss if DASHBOARD[3] in process.cmdline() else 0
    return total


def table(notes: Notes) -> Table:
    """Return the medians in milliseconds, and the share of time in percent; ! marks medians over their limit."""
    title = f"milliseconds; % of the time without any click; memory {notes.memory / 1e6:.0f} MB"
    return results_io.table(title, map(_cells, notes.rows.values()), left=("page", "measured", ""))


def _cells(row: PageTimes) -> dict[str, str]:
    scale, unit = (100, " %") if row.kind == "busy" else (1000, "")
    suffixes = {"open_cold": ", fresh process and browser", "open_new": ", fresh browser"}
    return {
        "page": row.page,
        "measured": row.what + suffixes.get(row.kind, ""),
        "median": f"{scale * row.median:.0f}{unit}",
        "worst": f"{scale * max(row.values):.0f}{unit}",
        "script": f"{scale * statistics.median(row.script):.0f}" if row.script else "",
        "limit": f"{scale * row.limit:.0f}" if row.limit else "",
        "": "!" if row.slow else "",
    }


def fill(database: Database, trainings: int, epochs: int, number: int) -> None:
    """Write the full database if it does not exist yet."""
    if database.path.exists():
        return
    print(f"writing {database.path}, which takes some minutes", file=sys.stderr)
    for events in full_database.write(database, full_database.studies(trainings, epochs, number)):
        print(f"\r{events:,} events", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def main() -> int:
    """Measure, show it, and write it to the file of --json; return 1 if a median is over its limit."""
    arguments = _arguments()
    arguments.home = arguments.home.resolve()
    database = Database(arguments.home / "ticketscope.duckdb")
    fill(database, arguments.trainings, arguments.epochs, arguments.studies)
    begin = time.perf_counter()
    notes = measure(arguments, database)
    results_io.show(table(notes))
    figures = {
        "seconds": round(time.perf_counter() - begin),
        "store": full_database.contents(database, arguments.epochs),
        "memory": notes.memory,
        "limits": {"first chart": FIRST, "fresh browser": FRESH, "reaction": REACTION, "memory": MEMORY},
        "measured": [asdict(row) | {"median": row.median, "worst": max(row.values)} for row in notes.rows.values()],
    }
    results_io.write("pages", arguments, figures)
    return int(notes.memory > MEMORY or any(row.slow for row in notes.rows.values()))


def _arguments() -> argparse.Namespace:
    parser = options.parser("pages", __doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the full database; written where missing")
    parser.add_argument("--trainings", type=int, default=5000, help="finished trainings at least (default 5000)")
    parser.add_argument("--studies", type=int, default=3, help="studies; those beyond 3 have 147 trainings each")
    parser.add_argument("--epochs", type=int, default=150, help="epochs of each training (default 150)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each thing (default 3)")
    parser.add_argument("--only", help="a regular expression that finds the names of the pages to measure")
    parser.add_argument("--no-cold", dest="cold", action="store_false", help="leave out fresh dashboard processes")
    parser.add_argument("--no-live", dest="live", action="store_false", help="leave out the pages while a study trains")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
