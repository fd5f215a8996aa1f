"""How soon there is something to see after `make up` on an installed checkout: python -m benchmarks.first_chart."""

import argparse
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Browser
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.written import write
from data.database.database import Database, DatabaseError
from data.queries import studies
from data.settings import Settings
from tasks.broker.connection import BrokerError, client
from tasks.queue import telemetry
from tests.browser.chromium import launched
from tests.browser.serving import served

PACKAGES = ("streamlit", "torch", "celery", "duckdb")
UP = ("-m", "tasks", "up", "--port")
# Seconds from the start of `make up`.
GOALS = {
    "the dashboard answers": None,
    "the first epoch is trained": None,
    "the first chart": 20.0,
    "the demo study is done": 60.0,
}
PATIENCE = 300.0
# Axes alone are no chart.
LINE = "svg.marks g.mark-line path[d]"


def measure(browser: Browser, home: Path) -> dict[str, float]:
    """Start everything over an empty home, and return the seconds until each of GOALS.

    The first chart is that of the demo study's page, which is opened as a person does: from the list of studies.
    """
    config = Settings(TICKETSCOPE_HOME=home)
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    over = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        # From the start, since a training may be there before the dashboard is.
        trained = beside.submit(first_epoch, config, over)
        try:
            with served(*UP, home=home) as address:
                seconds["the dashboard answers"] = time.monotonic() - begin
                page = browser.new_page()
                page.set_default_timeout(PATIENCE * 1000)
                page.goto(address)
                page.get_by_role("link", name="Demo").first.click()
                page.locator(LINE).first.wait_for()
                seconds["the first chart"] = time.monotonic() - begin
                # Whoever looks on costs time of the same cores.
                page.close()
                store = Database(config.database)
                _wait(lambda: "done" in set(studies.studies(store)["state"]), begin)
                seconds["the demo study is done"] = time.monotonic() - begin
        finally:
            over.set()
        seconds["the first epoch is trained"] = trained.result() - begin
    return seconds


def first_epoch(config: Settings, over: threading.Event) -> float:
    """Return when a training was first seen to have finished an epoch, on the monotonic clock.

    Asks the Redis that some settings choose five times a second, also before it is there; nan once over is set.
    """
    redis = client(config, patience=0.0)
    try:
        while not over.wait(0.2):
            try:
                if any(progress.epoch > 0 for progress in telemetry.progress(redis=redis).values()):
                    return time.monotonic()
            except BrokerError:
                # Not there yet.
                pass
        return math.nan
    finally:
        redis.close()


def _wait(reached: Callable[[], bool], begin: float) -> None:
    while time.monotonic() - begin < PATIENCE:
        try:
            if reached():
                return
        except DatabaseError:
            # Not there yet.
            pass
        time.sleep(1.0)
    raise RuntimeError(f"the demo study is not done after {PATIENCE:.0f} s; look into its workers' logs")


def table(found: list[dict[str, float]]) -> Table:
    """Return medians, with least and most in brackets, beside the goals."""
    shown = Table(title=f"seconds from the start, n = {len(found)}")
    for column in ("until", "s", "goal"):
        shown.add_column(column, justify="left" if column == "until" else "right")
    for what, goal in GOALS.items():
        values = [seconds[what] for seconds in found]
        shown.add_row(
            what,
            f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})",
            "" if goal is None else f"{goal:g}" + (" !" if statistics.median(values) > goal else ""),
        )
    return shown


def main() -> None:
    """Measure as often as the command line says, show it, and write it down where told to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_chart", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, nargs="?", const=Path(), help="write a file, under results/ unless named")
    given = parser.parse_args()
    console, found = Console(width=100), []
    with launched() as browser, Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("starting", total=given.repetitions)
        for _ in range(given.repetitions):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(browser, Path(folder)))
            bars.advance(bar)
    console.print(table(found))
    figures: dict[str, Any] = {"goals": GOALS, "measured": found}
    write("first_chart", given.json, torch.device("cpu"), PACKAGES, figures, console)


if __name__ == "__main__":
    main()
