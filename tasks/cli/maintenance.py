"""The commands that maintain the data: backup, restore, rebuild, remeasure, delete, restore-study, reclaim."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from data.settings import Settings
from tasks.cli.console import StudyId, begin, out, say_place, served
from tasks.units import plural, size

if TYPE_CHECKING:
    from data.database.backup import Backup
    from tasks.studies.rebuild import Rebuilt
    from tasks.studies.remeasure import Remeasured

commands = typer.Typer()

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]


@commands.command()
def backup(
    file: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default one named by the time under backups/.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Copy the database to a file, while everything runs. It holds neither weights nor result files."""
    from data.database import backup as backups
    from data.database.database import Database

    config = begin()
    started = time.monotonic()
    with _progress("backup", DownloadColumn(), TransferSpeedColumn()) as progress:
        copy = backups.backup(Database(config.database), file or backups.default_path(config.home), force, progress)
    seconds = time.monotonic() - started
    say_place(config)
    out.print(f"wrote {escape(str(copy.path))}", soft_wrap=True, highlight=False)
    out.print(f"{size(copy.size)}, {_contents(copy)}, in {seconds:.1f} s", highlight=False)


@commands.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that backup wrote.")], yes: Yes = False
) -> None:
    """Replace the database by a backup, and resume all studies from there; the present database is saved in a file."""
    from data.database import backup as backups
    from data.database.database import Database
    from tasks.studies.rebuild import rebuild as make_agree

    config = begin()
    copy = backups.inspect(file)
    out.print(f"the backup holds {_contents(copy)}", highlight=False)
    if not yes:
        typer.confirm(f"Replace {config.database} by it?", abort=True)
    # `rebuild` publishes the events again that only the present database has recorded.
    with served(config):
        with _progress("restore", DownloadColumn(), TransferSpeedColumn()) as progress:
            before = backups.restore(Database(config.database), file, progress)
        if before is not None:
            out.print(f"the earlier database is now {escape(str(before))}", soft_wrap=True, highlight=False)
        _print_rebuilt(config, make_agree(config))


@commands.command()
def rebuild() -> None:
    """Make the queue, the database and the artifacts agree again, after one of them was lost."""
    from tasks.studies.rebuild import rebuild as make_agree
    from tasks.studies.rebuild import require_database

    config = begin()
    require_database(config)
    with served(config):
        _print_rebuilt(config, make_agree(config))


@commands.command()
def remeasure(
    at_start: Annotated[
        bool, typer.Option("--at-start", hidden=True, help="As `up` runs it: at the lowest priority.")
    ] = False,
) -> None:
    """Complete results that an older Ticketscope recorded, from their weights: masks, and what masks determine."""
    from tasks.studies import remeasure as remeasuring
    from tasks.studies.rebuild import require_database

    config = begin()
    require_database(config)
    with served(config), _progress("results", MofNCompleteColumn(), TimeRemainingColumn()) as report:
        if at_start:
            os.nice(19)
        done = remeasuring.remeasure(config, report, at_start)
    if done is None:
        out.print("another remeasure is running here and does the same work")
        return
    out.print(_summary(done), highlight=False)


@commands.command()
def delete(
    study_id: StudyId,
    yes: Yes = False,
    for_good: Annotated[
        bool, typer.Option("--for-good", help="Not to the Trash: delete it now, with all stages that no other has.")
    ] = False,
) -> None:
    """Move a study, running or not, to the Trash, which keeps it for 30 days; or delete it for good."""
    from tasks.services.recorder import drain_own
    from tasks.studies import delete as deleting
    from tasks.studies.rebuild import require_database

    config = begin()
    require_database(config)
    with served(config):
        drain_own(config)
        full_id = deleting.find(config, study_id)
        if not for_good:
            deleting.require_no_trash(config, full_id)
        for line in deleting.sentences(deleting.preview(config, [full_id], count_files=for_good), for_good):
            out.print(line, highlight=False)
        if not yes:
            question = f"Delete {full_id} for good?" if for_good else f"Move {full_id} to the Trash?"
            typer.confirm(question, abort=True)
        if for_good:
            count = deleting.delete(config, full_id)
            drain_own(config)
            out.print(f"deleted {full_id} and {count} stages")
        else:
            deleting.trash(config, full_id)
            out.print(f"moved {full_id} to the Trash; ticketscope restore-study {full_id} brings it back")


@commands.command()
def restore_study(study_id: StudyId) -> None:
    """Bring a study back from the Trash, with its results."""
    from tasks.services.recorder import drain_own
    from tasks.studies import delete as deleting

    config = begin()
    with served(config):
        drain_own(config)
        full_id = deleting.find(config, study_id)
        deleting.restore(config, full_id)
        out.print(f"brought {full_id} back; ticketscope retry {full_id} trains what was left of it, if anything was")


@commands.command()
def reclaim(
    yes: Yes = False,
    older: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Spare files that changed within this time.")
    ] = 1.0,
) -> None:
    """List weights, results and checkpoints that no study has any more, and remove them after asking."""
    from tasks.services.recorder import drain_own
    from tasks.studies import reclaim as reclaiming
    from tasks.studies.rebuild import require_database

    config = begin()
    require_database(config)
    with served(config):
        drain_own(config)
        waste = reclaiming.find_waste(config, 3600 * older)
        for kind, files in waste.files.items():
            if files:
                out.print(
                    f"{plural(len(files), 'file')} of {kind}, {size(sum(f.size for f in files))}", highlight=False
                )
        if waste.young:
            out.print(f"{size(waste.young)} more are spared, changed within {older:g} h", highlight=False)
        total = size(sum(file.size for file in waste.all))
        if not waste.all:
            out.print(f"nothing to reclaim at {escape(config.artifacts)}", soft_wrap=True, highlight=False)
            return
        if not yes:
            out.print("If another installation saves artifacts there too, it loses those that only its studies need.")
            typer.confirm(f"Remove {plural(len(waste.all), 'file')}, {total}, from {config.artifacts}?", abort=True)
        removed = reclaiming.reclaim(config, waste, 3600 * older)
        freed = size(sum(file.size for file in removed))
        out.print(f"removed {plural(len(removed), 'file')}, {freed}", highlight=False)


def _contents(backup: "Backup") -> str:
    return f"{plural(backup.studies, 'study', 'studies')}, {backup.results} of {backup.stages} stages with results"


def _summary(done: "Remeasured") -> str:
    parts = [f"{plural(done.completed, 'result')} completed"] if done.completed else []
    if done.lost:
        parts.append(f"{done.lost} cannot be completed: {'its' if done.lost == 1 else 'their'} weights are gone")
    return "; ".join(parts) or "no recorded result lacks anything"


def _print_rebuilt(config: Settings, done: list["Rebuilt"]) -> None:
    from data.database.database import Database
    from data.queries import launches

    for study in done:
        out.print(f"[bold]{study.study_id}[/bold] {escape(study.name)} {study.what}", highlight=False)
    if not launches.study_ids(Database(config.database)):
        out.print(f"neither {config.database} nor the queue knows a study", soft_wrap=True, highlight=False)
    elif not done:
        out.print("the queue and the database agree; nothing had to be done")


@contextmanager
def _progress(name: str, *columns: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(name), BarColumn(), *columns)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
