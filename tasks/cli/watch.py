"""Watching studies in the queue: whether there are any, whether workers run, and whether a study is done."""

from redis import Redis
from rich.console import Console
from rich.markup import escape

from data.database.database import Database
from data.datasets.source import Progress
from data.queries import launches, studies
from data.settings import Settings
from tasks.cli.tables import watch
from tasks.queue import leases, telemetry
from tasks.units import size

# Seconds to wait for the recorder; one that runs is never this far behind.
RECORDER_SECONDS = 10.0


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


def say_copying(console: Console) -> Progress:
    """Return a function that prints which images are being copied for other hosts."""

    def say(what: str, done: int, total: int) -> None:
        del done
        amount = f" ({size(total)})" if total else ""
        console.print(f"{escape(what)}{amount} ...", soft_wrap=True, highlight=False)

    return say


def until_done(config: Settings, redis: Redis, study_id: str, console: Console) -> bool:
    """Show a study's progress until none of its stages can be trained, and return whether all are done."""
    counts = watch(console, study_id, lambda: leases.counts(redis, study_id))
    if not telemetry.wait_until_recorded(redis, RECORDER_SECONDS):
        console.print("the recorder is not running; ticketscope recorder brings the results into the database")
    if counts["done"] == counts.total():
        return True
    console.print(f"not done: {', '.join(f'{count} {state}' for state, count in counts.items())}")
    if counts["failed"]:
        console.print(f"ticketscope status {study_id} says why, ticketscope retry {study_id} tries again")
    return False
