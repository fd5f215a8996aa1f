"""Measure every page of the dashboard in Chromium over a full store: `python -m benchmarks.pages --home DIR`."""

import argparse
import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

try:
    from playwright.sync_api import Browser, Page
except ImportError:
    sys.exit("playwright is missing, a development dependency: pip install -r requirements-dev.txt -c constraints.txt")

from benchmarks import clock, machine, meanwhile
from benchmarks.full_store import FINISHED, TRAINING, contents
from benchmarks.widgets import acted
from data import shared_links
from data.database.database import Database
from tests.browser.chromium import launched
from tests.browser.serving import DASHBOARD, served

# Seconds: what a reader may wait for the first chart of a page, and for the answer to a click.
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
    # Of a reaction: seconds until the script was over; the browser draws for the rest.
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
    """All that was measured, by page, kind and what."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Measured] = {}

    def add(self, page: str, kind: str, what: str, value: float, script: float | None = None) -> None:
        """Note one value, and of a reaction how long its script ran."""
        limit = None if kind == "busy" else REACTION if kind == "react" else FIRST
        row = self.rows.setdefault((page, kind, what), Measured(page, kind, what, limit))
        row.values.append(round(value, 4))
        if script is not None:
            row.script.append(round(script, 4))


def paths(only: str | None, link: str) -> dict[str, str]:
    """Return the pages of app/main.py and the addresses at which they are looked at, by title; link: of a share."""
    names = re.findall(r'st\.Page\(\s*"views/(\w+)\.py"([^)]*)', (machine.ROOT / "app" / "main.py").read_text())
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
    """Use every widget of an open page, tab by tab, and note how long it takes to answer."""
    tabs = page.locator("[role=tab]")
    for index in range(max(1, tabs.count())):
        where = title
        if tabs.count():
            tab = tabs.nth(index)
            where = f"{title} · {tab.inner_text().strip()}"
            for _ in range(repeats if tabs.count() > 1 else 0):
                # From another tab each time; the first visit draws what later ones have in store.
                clock.clicked(page, tabs.nth((index + 1) % tabs.count()))
                answer = clock.clicked(page, tab)
                if answer:
                    notes.add(where, "react", "open the tab", answer.seconds, answer.script)
        for what, answer in acted(page, repeats):
            notes.add(where, "react", what, answer.seconds, answer.script)


def cold(browser: Browser, home: Path, title: str, path: str, notes: Notes) -> None:
    """Open a page as the first that a fresh dashboard and a fresh browser see."""
    with served(*DASHBOARD, home=home) as address, _page(browser) as page:
        seconds, chart = clock.opened(page, address + path)
        notes.add(title, "open_cold", "first chart" if chart else "content", seconds)


def warm(browser: Browser, address: str, title: str, path: str, notes: Notes, repeats: int) -> None:
    """Open a page that was open before, in new browsers and again in one that knows it, and use its widgets."""
    for turn in range(repeats + 1):
        with _page(browser) as page:
            seconds, chart = clock.opened(page, address + path)
        if turn:
            notes.add(title, "open_new", "first chart" if chart else "content", seconds)
    with _page(browser) as page:
        clock.opened(page, address + path)
        for _ in range(repeats):
            seconds, chart = clock.opened(page, address + path)
            notes.add(title, "open_warm", "first chart" if chart else "content", seconds)
        explore(page, title, notes, repeats)


def watched(browser: Browser, address: str, title: str, path: str, notes: Notes) -> None:
    """Leave a page alone, tab by tab, and note how much of the time its script runs."""
    with _page(browser) as page:
        clock.opened(page, address + path)
        tabs = page.locator("[role=tab]")
        for index in range(max(1, tabs.count())):
            where = title
            if tabs.count():
                clock.clicked(page, tabs.nth(index))
                where = f"{title} · {tabs.nth(index).inner_text().strip()}"
            notes.add(where, "busy", "share of time its script runs", clock.busy(page, WATCHED))


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_init_script(clock.SCRIPT)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def _training(home: Path) -> Iterator[None]:
    stopping = threading.Event()
    writer = threading.Thread(target=meanwhile.go_on, args=(Database(home / "ticketscope.duckdb"), TRAINING, stopping))
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


def measure(arguments: argparse.Namespace) -> Notes:
    """Look at every page: at rest, and while a study trains."""
    notes = Notes()
    store = Database(arguments.home / "ticketscope.duckdb")
    _, token = shared_links.create(store, FINISHED[:1])
    chosen = paths(arguments.only, f"/shared?share={token}")
    with launched() as browser:
        for title, path in chosen.items() if arguments.cold else ():
            for _ in range(arguments.repeats):
                cold(browser, arguments.home, title, path, notes)
            _say(f"{title}, fresh process")
        for live in (False, True)[: 1 + arguments.live]:
            busy = _training(arguments.home) if live else nullcontext()
            with busy, served(*DASHBOARD, home=arguments.home) as address:
                for title, path in chosen.items():
                    name = f"{title}, while {TRAINING} trains" if live else title
                    warm(browser, address, name, path, notes, arguments.repeats)
                    if live and TRAINING in path:
                        watched(browser, address, name, path, notes)
                    _say(name)
    return notes


def table(notes: Notes) -> str:
    """Return what was measured as a Markdown table, in milliseconds; ! marks medians over their limit."""
    lines = ["| page | measured | median ms | worst ms | script ms | limit ms | |", "|---|---|--:|--:|--:|--:|---|"]
    for row in notes.rows.values():
        added = {"open_cold": ", fresh process and browser", "open_new": ", fresh browser"}
        what = row.what + added.get(row.kind, "")
        if row.kind == "busy":
            lines.append(f"| {row.page} | {what} | {row.median:.0%} | {max(row.values):.0%} | | | |")
            continue
        limit = f"{1000 * row.limit:.0f}" if row.limit else ""
        script = f"{1000 * statistics.median(row.script):.0f}" if row.script else ""
        figures = (
            f"{1000 * row.median:.0f} | {1000 * max(row.values):.0f} | {script} | {limit} | {'!' if row.slow else ''}"
        )
        lines.append(f"| {row.page} | {what} | {figures} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table and write it down; 1 where a median is over its limit."""
    arguments = _arguments()
    given, arguments.home = str(arguments.home), arguments.home.resolve()
    store = Database(arguments.home / "ticketscope.duckdb")
    if not store.path.exists():
        print(f"no store at {store.path}; python -m benchmarks.full_store --home {arguments.home}", file=sys.stderr)
        return 2
    begin = time.perf_counter()
    notes = measure(arguments)
    print(table(notes))
    found = {
        # Where the store lay is nobody's business.
        **machine.stamp("python -m benchmarks.pages " + " ".join(sys.argv[1:]).replace(given, "DIR")),
        "seconds": round(time.perf_counter() - begin),
        "store": contents(store, 150),
        "limits": {"first chart": FIRST, "reaction": REACTION},
        "measured": [asdict(row) | {"median": row.median, "worst": max(row.values)} for row in notes.rows.values()],
    }
    out = arguments.json or machine.ROOT / "benchmarks" / "results" / f"pages-{datetime.now(UTC):%Y-%m-%d}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {out}")
    return int(any(row.slow for row in notes.rows.values()))


def _say(done: str) -> None:
    print(f"measured: {done}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of a store that benchmarks.full_store wrote")
    parser.add_argument("--json", type=Path, help="file for the figures (default: benchmarks/results/pages-DATE.json)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each thing is measured (default 3)")
    parser.add_argument("--only", help="pages whose name this regular expression finds")
    parser.add_argument("--no-cold", dest="cold", action="store_false", help="leave out fresh dashboard processes")
    parser.add_argument("--no-live", dest="live", action="store_false", help="leave out the pages while a study trains")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
