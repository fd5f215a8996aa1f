"""How many seconds after `make up` on an installed checkout is there a chart? python -m benchmarks.first_chart."""

import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from playwright.sync_api import Browser
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.results_io import spread, spread_text
from data.database.database import Database, DatabaseError
from data.queries import studies
from data.settings import Settings
from tasks.broker.connection import BrokerError, client
from tasks.queue import telemetry
from tests.browser.chromium import launched
from tests.browser.serving import served

UP = ("-m", "tasks", "up", "--port")
# Seconds from the start of `make up`.
GOALS = {
    "the dashboard answers": None,
    "the first epoch is trained": None,
    "the first chart": 20.0,
    "the demo study is done": 60.0,
}
LONGEST = 300.0
# A chart counts once it has a line, not only axes.
LINE = "svg.marks g.mark-line path[d]"


def measure(browser: Browser, home: Path) -> dict[str, float]:
    """Start everything over an empty home, and return the seconds until each of GOALS.

    The first chart is that of the demo study's page, which is opened as a person does: from the list of studies.
    """
    config = Settings(TICKETSCOPE_HOME=home)
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        # A training may begin before the dashboard answers, so this thread watches from the start.
        trained = threads.submit(first_epoch, config, over)
        try:
            with served(*UP, home=home) as address:
                seconds["the dashboard answers"] = time.monotonic() - begin
                page = browser.new_page()
                page.set_default_timeout(LONGEST * 1000)
                page.goto(address)
                page.get_by_role("link", name="Demo").first.click()
                page.locator(LINE).first.wait_for()
                seconds["the first chart"] = time.monotonic() - begin
                # An open page would slow down the trainings.
                page.close()
                database = Database(config.database)
                _wait(lambda: "done" in set(studies.studies(database)["state"]), begin)
                seconds["the demo study is done"] = time.monotonic() - begin
        finally:
            over.set()
        seconds["the first epoch is trained"] = trained.result() - begin
    return seconds


def first_epoch(config: Settings, over: threading.Event) -> float:
    """Return when a training was first seen to have finished an epoch, on the monotonic clock.

    Asks the Redis of the settings five times a second, even before it runs; nan once `over` is set.
    """
    redis = client(config, patience=0.0)
    try:
        while not over.wait(0.2):
            try:
                if any(progress.epoch > 0 for progress in telemetry.progress(redis=redis).values()):
                    return time.monotonic()
            except BrokerError:
                # Redis does not run yet.
                pass
        return math.nan
    finally:
        redis.close()


def _wait(condition: Callable[[], bool], begin: float) -> None:
    while time.monotonic() - begin < LONGEST:
        try:
            if condition():
                return
        except DatabaseError:
            # The database does not exist yet.
            pass
        time.sleep(1.0)
    raise RuntimeError(f"the demo study is not done after {LONGEST:.0f} s; look into its workers' logs")


def table(measured: list[dict[str, float]]) -> Table:
    """Return medians, with least and most in brackets, beside the goals; ! marks a missed goal."""
    rows = []
    for event, goal in GOALS.items():
        seconds = spread([run[event] for run in measured])
        limit = "" if goal is None else f"{goal:g}" + " !" * (seconds["median"] > goal)
        rows.append({"until": event, "s": spread_text(seconds, digits=1), "goal": limit})
    return results_io.table(f"seconds from the start, n = {len(measured)}", rows, left=("until",))


def main() -> int:
    """Measure, show it, and write it to the file of --json; return 1 if a goal is missed."""
    parser = options.parser("first_chart", __doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    measured = []
    with launched() as browser:
        for _ in results_io.progress(range(arguments.repetitions)):
            with tempfile.TemporaryDirectory() as folder:
                measured.append(measure(browser, Path(folder)))
    results_io.show(table(measured))
    results_io.write("first_chart", arguments, {"goals": GOALS, "measured": measured}, torch.device("cpu"))
    medians = {event: spread([run[event] for run in measured])["median"] for event in GOALS}
    return int(any(goal is not None and medians[event] > goal for event, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
