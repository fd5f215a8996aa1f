"""Watching studies in the queue: whether there are any, whether workers run, and whether a study is done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from data.database.database import Database, DatabaseError
from data.datasets.source import Progress
from data.queries import launches, studies
from data.queries.studies import UnknownStudy
from data.settings import Settings
from tasks.cli.tables import seconds_left, watch
from tasks.queue import leases, telemetry
from tasks.units import size

# Seconds to wait for the recorder; one that runs is never this far behind.
RECORDER_SECONDS = 10.0
# Seconds after which the progress of a check is drawn.
BAR_AFTER = 1.0
# Seconds for which an estimate of the time left waits for others that use the database.
ESTIMATE_PATIENCE = 0.5


def is_empty(config: Settings, redis: Redis) -> bool:
    """Return whether no study was ever launched: none is recorded or deleted, and no event waits for the recorder."""
    # An event disappears once it is recorded, so the events are counted before the database is read.
    if redis.xlen(telemetry.EVENTS):
        return False
    database = Database(config.database)
    return studies.studies(database).empty and not launches.deleted(database)


def say_if_no_workers(redis: Redis, console: Console) -> None:
    """Print a hint if no worker runs that could train a queued study."""
    if not telemetry.workers(redis):
        console.print("no workers are running: start everything with ticketscope up, or ticketscope worker")


@contextmanager
def images_shown(console: Console) -> Iterator[Progress]:
    """Yield a function that prints which images a launch copies, and draws a bar while it checks them for long."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=console, transient=True)
    bar: TaskID | None = None
    began = 0.0

    def say(what: str, done: int, total: int) -> None:
        nonlocal bar, began
        if not done:
            amount = f" ({size(total)})" if total else ""
            console.print(f"{escape(what)}{amount} ...", soft_wrap=True, highlight=False)
            return
        began = began or time.monotonic()
        if bar is None and time.monotonic() - began > BAR_AFTER:
            bar = bars.add_task("", total=total)
            bars.start()
        if bar is not None:
            bars.update(bar, description=escape(what), completed=done, total=total)

    try:
        yield say
    finally:
        if bar is not None:
            bars.stop()


def until_done(config: Settings, redis: Redis, study_id: str, console: Console) -> bool:
    """Show a study's progress until none of its stages can be trained, and return whether all are done."""
    database = Database(config.database, ESTIMATE_PATIENCE)

    def left() -> float | None:
        try:
            return seconds_left(database, study_id, studies.stages(database, study_id))
        except (DatabaseError, UnknownStudy):
            # Others use the database, or the launch is not recorded yet.
            return None

    counts = watch(console, study_id, lambda: leases.counts(redis, study_id), left)
    if not telemetry.wait_until_recorded(redis, RECORDER_SECONDS):
        console.print("the recorder is not running; ticketscope recorder brings the results into the database")
    if counts["done"] == counts.total():
        return True
    console.print(f"not done: {', '.join(f'{count} {state}' for state, count in counts.items())}")
    if counts["failed"]:
        console.print(f"ticketscope status {study_id} says why, ticketscope retry {study_id} tries again")
    return False
