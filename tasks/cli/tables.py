"""How the command line prints plans, studies, workers and progress."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from data.database.database import Database
from data.database.events import State
from data.queries import studies
from data.queries.divergence import divergences, in_words
from data.queries.failures import blocked, failures, shown_counts
from data.queries.results import origins, origins_in_words
from data.settings import settings
from engine.formatting import number, percent
from tasks import progress
from tasks.broker.connection import BrokerError, connect, errors_explained
from tasks.queue import leases
from tasks.queue.telemetry import Worker, known_workers
from tasks.queue.telemetry import progress as live_progress
from tasks.units import duration, plural

if TYPE_CHECKING:
    from engine.study.checks import Finding
    from tasks.studies.planning import PlanPreview

COLOURS = {"done": "green", "running": "cyan", "failed": "red", "blocked": "red", "cancelled": "yellow"}
REFRESH_SECONDS = 0.5
# Seconds between two estimates of the time left, which read the database.
ESTIMATE_SECONDS = 3.0


def plan_table(name: str, preview: "PlanPreview", one_by_one: int | None = None) -> Table:
    """Return a table of a plan's numbers; one_by_one: trainings of several figures if they shared none."""
    table = Table(title=name, show_header=False, title_justify="left")
    for kind, count in preview.by_kind.items():
        table.add_row(kind, str(count))
    if one_by_one is not None:
        table.add_row("one by one", str(one_by_one))
    table.add_row("trainings", str(preview.trainings) + (" after sharing" if one_by_one is not None else ""))
    table.add_row("reused", str(preview.reused))
    table.add_row("remaining", f"[bold]{preview.remaining}[/bold]")
    table.add_row("estimated", f"{duration(preview.estimated_seconds)} on {plural(preview.workers, 'worker')}")
    return table


def say_rounds(console: Console, preview: "PlanPreview") -> None:
    """Print what each round of iterative pruning removes."""
    for sentence in preview.plan.rounds:
        console.print(f"iterative pruning: {escape(sentence)}", soft_wrap=True, highlight=False)


def say_warnings(console: Console, warnings: Iterable["Finding"]) -> None:
    """Print what the author of a study should know before it is launched."""
    for finding in warnings:
        text = escape(f"{finding.field}: {finding.text}")
        console.print(f"[yellow]warning:[/yellow] {text}", soft_wrap=True, highlight=False)


def plan_values(
    name: str, preview: "PlanPreview", one_by_one: int | None = None, scaling: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return a plan's numbers by name; one_by_one as in `plan_table`; scaling: differences from the paper's study."""
    return {
        "study": name,
        "stages": preview.trainings,
        "trainings": preview.trainings,
        **({} if one_by_one is None else {"trainings_one_by_one": one_by_one}),
        "reused": preview.reused,
        "remaining": preview.remaining,
        "by_kind": preview.by_kind,
        "estimated_seconds": round(preview.estimated_seconds, 1),
        "workers": preview.workers,
        "rounds": list(preview.plan.rounds),
        "warnings": [{"field": finding.field, "text": finding.text} for finding in preview.warnings],
        **({} if scaling is None else {"scaling": list(scaling)}),
    }


def studies_table(database: Database) -> Table:
    """Return all recorded studies as a table."""
    # Users copy ids from the terminal, so they must not be cut or wrapped.
    study, launched = Column("study", no_wrap=True), Column("launched (UTC)", no_wrap=True)
    table = Table(study, "name", "state", "stages", launched)
    for row in studies.studies(database).to_dict("records"):
        table.add_row(
            str(row["study_id"]),
            escape(str(row["name"])),
            _coloured(str(row["state"])),
            ", ".join(
                [f"{row['done']}/{row['stages']} done"]
                + [f"{row[state]} {state}" for state in ("running", "failed", "reused") if row[state]]
            ),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        )
    return table


def trash_table(database: Database) -> Table:
    """Return the studies in the Trash as a table."""
    from tasks.studies.delete import PERIOD

    table = Table(Column("study", no_wrap=True), "name", "stages", "deleted (UTC)", "for good (UTC)")
    for row in studies.trash(database).to_dict("records"):
        at = row["trashed_at"]
        days = (f"{moment:%Y-%m-%d %H:%M}" for moment in (at, at + PERIOD))
        table.add_row(str(row["study_id"]), escape(str(row["name"])), f"{row['done']}/{row['stages']} done", *days)
    return table


def workers_line(workers: Sequence[Worker]) -> str:
    """Return a line on how many workers are alive, what they do, and how many are silent."""
    alive = [worker for worker in workers if not worker.is_silent()]
    states = Counter(worker.state for worker in alive)
    parts = [f"{states[state]} {state}" for state in ("training", "draining") if states[state]]
    silent = f"; [red]{len(workers) - len(alive)} silent[/red]" if len(alive) < len(workers) else ""
    warnings = {f"{worker.host}: {worker.warning}" for worker in alive if worker.warning}
    warnings |= {
        f"{worker.host}: trains without CUDA graphs, more slowly: {worker.slow.why}"
        for worker in alive
        if worker.slow is not None and worker.slow.now
    }
    lines = [f"[yellow]warning:[/yellow] {escape(warning)}" for warning in sorted(warnings)]
    return "\n".join([", ".join([plural(len(alive), "worker"), *parts]) + silent, *lines])


def study_tables(database: Database, study_id: str) -> list[Table | str]:
    """Return a study's state, its stages in training, why stages failed, and which trainings diverged, to print."""
    record = studies.study(database, study_id)
    stages = studies.stages(database, study_id)
    shown = shown_counts(record.counts, len(blocked(stages)))
    counts = ", ".join(f"{count} {_coloured(state)}" for state, count in shown.items() if count)
    name = escape(record.study.name)
    parts: list[Table | str] = [f"[bold]{name}[/bold] ({study_id}): {_coloured(record.state)}; {counts}"]
    if record.state in ("queued", "running") and _is_lost(study_id):
        parts.append("[red]not in the queue[/red]: none of its stages is trained until ticketscope rebuild")
    if record.state in ("queued", "running") and (left := seconds_left(database, study_id, stages)) is not None:
        parts.append(progress.left(left))
    running = stages[stages["state"] == "running"]
    if len(running):
        parts.append(_running_table(running))
    for failure in failures(stages):
        others = f" and {plural(failure.count - 1, 'other stage')}" if failure.count > 1 else ""
        parts.append(f"[red]failed[/red] {_describe(failure.first)}{others}: {escape(failure.reason)}")
    if record.counts["failed"]:
        if shown["blocked"]:
            parts.append(f"[red]blocked[/red]: {plural(shown['blocked'], 'stage')} built on these, until a retry")
        parts.append(f"fix the cause, then: ticketscope retry {study_id}; after a change of images, launch anew")
    if sentence := in_words(divergences(database, [study_id])):
        parts.append(f"[yellow]diverged[/yellow] {escape(sentence)}")
    parts += [f"imported {escape(phrase)}" for phrase in origins_in_words(origins(database, study_id))]
    return parts


def seconds_left(database: Database, study_id: str, stages: pd.DataFrame) -> float | None:
    """Return the seconds that a study still takes, None if they are unknown; stages: its rows."""
    # These are slow to import, and only a study in training needs them.
    from tasks.studies import time_left
    from tasks.studies.planning import epoch_seconds

    try:
        live, workers = live_progress(stages["fingerprint"], connect(0.0)), known_workers(connect(0.0))
    except BrokerError:
        return None
    planned = partial(epoch_seconds, settings(), database, study_id)
    return time_left.seconds_left(stages, live, time_left.places(workers, stages), planned)


def _is_lost(study_id: str) -> bool:
    try:
        with errors_explained():
            return not leases.is_known(connect(0.0), study_id)
    except BrokerError:
        return False


def _running_table(running: pd.DataFrame) -> Table:
    from tasks.studies.time_left import stage_seconds_left

    live = live_progress(running["fingerprint"])
    table = Table("stage", "epoch", "test accuracy", "epochs/s", "time left", "worker")
    for row in running.to_dict("records"):
        now = live.get(str(row["fingerprint"]))
        table.add_row(
            _describe(row),
            f"{now.epoch if now else row['epoch']}/{row['epochs']}",
            f"{now.test_accuracy:.2f} %" if now else "",
            f"{now.epochs_per_second:.2g}" if now else "",
            duration(stage_seconds_left(now)) if now else "",
            str(row["worker"]),
        )
    return table


def _describe(row: dict[str, Any]) -> str:
    run = f"{row['network']} on {row['dataset']}, lr {number(row['learning_rate'])}, seed {row['seed']}, {row['start']}"
    return run if row["kind"] == "pretrain" else f"{run} @ {percent(row['sparsity'])} ({row['pruners'] or row['kind']})"


def watch(
    console: Console, title: str, counts: Callable[[], Counter[State]], left: Callable[[], float | None]
) -> Counter[State]:
    """Show the progress of a study until none of its stages can be trained, and return its last counts.

    left: returns the seconds that it still takes, None if they are unknown.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bars:
        bar = bars.add_task(title, total=None, note="")
        seconds, estimated_at = None, -ESTIMATE_SECONDS
        while True:
            now = counts()
            notes = [f"{now[state]} {state}" for state in ("running", "failed", "cancelled") if now[state]]
            if time.monotonic() - estimated_at >= ESTIMATE_SECONDS:
                seconds, estimated_at = left(), time.monotonic()
            if seconds:
                notes.append(progress.left(seconds))
            bars.update(bar, total=now.total(), completed=now["done"], note=", ".join(notes))
            if not now["running"] and not now["queued"]:
                return now
            time.sleep(REFRESH_SECONDS)


def _coloured(state: str) -> str:
    return f"[{COLOURS[state]}]{state}[/]" if state in COLOURS else state
