"""Watching studies in the queue: whether there are any, whether workers run, and whether a study is done."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

from redis import Redis
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from data.database.database import Database, DatabaseError
from data.database.events import State
from data.datasets.source import Progress
from data.queries import launches, results, studies
from data.queries.failures import blocked, reason
from data.queries.studies import UnknownStudy
from data.settings import Settings
from tasks import progress
from tasks.cli.console import say_line
from tasks.cli.tables import ESTIMATE_SECONDS, REFRESH_SECONDS, seconds_left, watch
from tasks.queue import contents, leases, telemetry
from tasks.units import size

# Seconds to wait for the recorder; one that runs is never this far behind.
RECORDER_SECONDS = 10.0
# Seconds after which a training that has ended is named without its accuracy, which the recorder has not recorded.
RECORDED_SECONDS = 2.0
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
    return not launches.study_ids(database) and not launches.deleted(database)


def say_if_no_workers(redis: Redis, console: Console) -> None:
    """Print a hint if no worker runs that could train a queued study."""
    if not telemetry.workers(redis):
        text = "no workers are running: start everything with ticketscope up, or ticketscope worker"
        console.print(text, soft_wrap=True)


@contextmanager
def images_shown(console: Console) -> Iterator[Progress]:
    """Yield a function that prints which images a launch copies, and draws a bar while it checks them for long.

    Without a terminal, a line a minute says how far it is.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=console, transient=True)
    bar: TaskID | None = None
    began, text = 0.0, ""
    lines = progress.Lines(partial(say_line, console), lambda: text)

    def say(what: str, done: int, total: int) -> None:
        nonlocal bar, began, text
        text = f"{what}, {done / total:.0%}" if total else what
        if not done:
            amount = f" ({size(total)})" if total else ""
            console.print(f"{escape(what)}{amount} ...", soft_wrap=True, highlight=False)
            return
        began = began or time.monotonic()
        if bar is None and console.is_interactive and time.monotonic() - began > BAR_AFTER:
            bar = bars.add_task("", total=total)
            bars.start()
        if bar is not None:
            bars.update(bar, description=escape(what), completed=done, total=total)

    try:
        with nullcontext() if console.is_interactive else lines.running():
            yield say
    finally:
        if bar is not None:
            bars.stop()


def until_done(config: Settings, redis: Redis, study_id: str, console: Console) -> bool:
    """Show a study's progress until none of its stages can be trained, and return whether all are done.

    In a terminal it is a bar, elsewhere lines.
    """
    database = Database(config.database, ESTIMATE_PATIENCE)

    def left() -> float | None:
        return _estimate(database, study_id)[0]

    if console.is_interactive:
        counts = watch(console, study_id, lambda: leases.counts(redis, study_id), left)
    else:
        counts = _Followed(redis, database, study_id).until_done(console)
    if not telemetry.wait_until_recorded(redis, RECORDER_SECONDS):
        text = "the recorder is not running; ticketscope recorder brings the results into the database"
        console.print(text, soft_wrap=True)
    if counts["done"] == counts.total():
        return True
    console.print(f"not done: {', '.join(f'{count} {state}' for state, count in counts.items())}", soft_wrap=True)
    if counts["failed"]:
        text = f"ticketscope status {study_id} says why, ticketscope retry {study_id} tries again"
        console.print(text, soft_wrap=True)
    return False


def _estimate(database: Database, study_id: str) -> tuple[float | None, int]:
    """Return the seconds that a study still takes, None if they are unknown, and how many of its stages are blocked."""
    try:
        stages = studies.stages(database, study_id)
        return seconds_left(database, study_id, stages), len(blocked(stages))
    except (DatabaseError, UnknownStudy):
        # Others use the database, or the launch is not recorded yet.
        return None, 0


class _Followed:
    """A study whose trainings are reported line by line."""

    def __init__(self, redis: Redis, database: Database, study_id: str) -> None:
        self._redis = redis
        self._database = database
        self._study_id = study_id
        self._estimated: tuple[float | None, int] = (None, 0)
        self._estimated_at = -ESTIMATE_SECONDS
        self._states = self._look()
        # Stages that have ended, with the time from which on they are named without what is recorded.
        self._ended: dict[str, float] = {}

    def until_done(self, console: Console) -> Counter[State]:
        """Print lines until no stage can be trained, and return the last counts."""
        lines = progress.Lines(partial(say_line, console), self._state)
        lines.add("launches", f"study {self._study_id}")
        while True:
            before, self._states = self._states, self._look()
            now = time.monotonic()
            for fingerprint, state in self._states.items():
                if state in ("done", "failed") and before.get(fingerprint) != state:
                    self._ended[fingerprint] = now + RECORDED_SECONDS
            counts = Counter(self._states.values())
            over = not counts["running"] and not counts["queued"]
            if over:
                telemetry.wait_until_recorded(self._redis, RECORDED_SECONDS)
                self._estimated_at = -ESTIMATE_SECONDS
            for state, line in self._lines(math.inf if over else now):
                lines.add(f"trainings {state}", line)
            if over:
                lines.finish()
                return counts
            lines.step(now)
            time.sleep(REFRESH_SECONDS)

    def _look(self) -> dict[str, State]:
        return leases.states(self._redis, leases.members(self._redis, self._study_id))

    def _lines(self, now: float) -> Iterator[tuple[State, str]]:
        """Yield a line for each ended stage that is recorded, or that was not within `RECORDED_SECONDS`."""
        if not self._ended:
            return
        recorded: dict[str, tuple[float | None, int | None, float]] = {}
        with suppress(DatabaseError):
            recorded = results.ends(self._database, list(self._ended))
        known = contents.stages(self._redis, list(self._ended))
        for fingerprint, until in list(self._ended.items()):
            failed = self._states.get(fingerprint) == "failed"
            if not (failed or fingerprint in recorded or now >= until):
                continue
            del self._ended[fingerprint]
            if fingerprint in known:
                stage, error = known[fingerprint]
                end = reason(error) if failed else progress.reached(*recorded.get(fingerprint, (None, None, 0.0)))
                parts = "failed" if failed else "done", progress.name(stage), end
                yield ("failed" if failed else "done"), ": ".join(filter(None, parts))

    def _state(self) -> str:
        now = time.monotonic()
        if now - self._estimated_at >= ESTIMATE_SECONDS:
            self._estimated, self._estimated_at = _estimate(self._database, self._study_id), now
        seconds, number_blocked = self._estimated
        counts = Counter(self._states.values())
        out = {"failed": counts["failed"], "blocked": number_blocked, "cancelled": counts["cancelled"]}
        return progress.state(counts["done"], counts.total(), out, counts["running"], seconds)
