"""The commands about studies: plan, launch, run, status, verdicts, cancel, retry."""

# Modules that are slow to import are imported in the commands that need them; see tasks/__main__.py.

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from data.settings import settings
from tasks.broker.connection import BrokerError
from tasks.cli.console import Device, StudyId, begin, err, out, recorded, served
from tasks.units import plural

if TYPE_CHECKING:
    from engine.study.spec import Study
    from tasks.studies.planning import PlanPreview

commands = typer.Typer()

StudyFile = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A TOML file, demo, or paper:<id> such as paper:fig7, paper:fig7:a, paper:all."
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(metavar="SCALE", help="For paper:<id>: paper, or small, which a laptop can finish."),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATASET",
        help="For paper:<id>: a dataset in place of the paper's, or paper for the paper's own at scale small.",
    ),
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Launch it even if an equal study was launched within the last minute."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before a study that takes more than an hour.")]


@commands.command()
def plan(
    study: StudyFile,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Show what a study would train, how much of that is done already, and how long the rest takes."""
    from tasks.cli.tables import plan_table, plan_values, say_rounds, say_warnings
    from tasks.studies.catalog import one_by_one
    from tasks.studies.planning import preview

    read = _read(study, scale, data)
    planned = preview(read)
    unshared = one_by_one(study, scale, data)
    if not json:
        out.print(plan_table(escape(read.name), planned, unshared))
        _say_scaling(study, scale, data)
        say_rounds(out, planned)
        if planned.unchecked:
            out.print("launch checks that every image of the folder can be trained on", soft_wrap=True)
        say_warnings(err, planned.warnings)
        return
    scaling = _scaling(study, scale, data) if study.startswith("paper:") else None
    out.print_json(data=plan_values(read.name, planned, unshared, scaling))


@commands.command()
def launch(
    study: StudyFile,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress; exit 0 when done, 1 on failure.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Only when no study was ever launched.")] = False,
    again: Again = False,
    yes: Yes = False,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Queue a study for the workers."""
    from tasks.cli import watch
    from tasks.cli.tables import say_warnings
    from tasks.studies.planning import design_warnings

    config = begin()
    read = _read(study, scale, data)
    _say_scaling(study, scale, data)
    with served(config) as redis:
        if if_empty and not watch.is_empty(config, redis):
            out.print("studies were launched here before")
            return
        say_warnings(err, design_warnings(read, config.home))
        _ask_if_long(read, yes)
        study_id = _launch(read, again)
        watch.say_if_no_workers(redis, err)
        if wait and not watch.until_done(config, redis, study_id, out):
            raise typer.Exit(1)


@commands.command()
def run(
    study: StudyFile,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the tables, and the weights under it.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; by default one per GPU, or per core.")] = None,
    device: Device = None,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Train a whole study here, without Redis or DuckDB, and write its tables. Run again, it resumes."""
    from tasks.cli.run import run_study
    from tasks.cli.tables import say_warnings
    from tasks.studies.planning import design_warnings
    from tasks.worker.devices import devices

    config = settings()
    read = _read(study, scale, data)
    _say_scaling(study, scale, data)
    say_warnings(err, design_warnings(read, config.home))
    run_study(config, read, out_folder, devices(device or config.device, jobs or config.workers), out)


@commands.command()
def status(
    study_id: Annotated[str | None, typer.Argument(metavar="[STUDY_ID]", help="Only this one.")] = None,
    trash: Annotated[bool, typer.Option("--trash", help="Show the studies in the Trash instead.")] = False,
) -> None:
    """Show all studies, or the state of one."""
    from data.queries import studies
    from tasks.broker.connection import connect
    from tasks.cli.tables import studies_table, study_tables, trash_table, workers_line
    from tasks.queue.telemetry import known_workers

    with recorded() as database:
        if study_id is not None:
            for part in study_tables(database, studies.find_study(database, study_id)):
                out.print(part)
            return
        if trash:
            listed = trash_table(database)
            out.print(listed if listed.row_count else "the Trash is empty")
            return
        listed = studies_table(database)
        if listed.row_count:
            out.print(listed)
        else:
            out.print(
                f"nothing has been launched here yet: {escape(str(database.path))} holds no study",
                soft_wrap=True,
                highlight=False,
            )
        try:
            out.print(workers_line(known_workers(connect(0.0))))
        except BrokerError as error:
            # Recorded studies are shown without Redis too.
            out.print(f"workers unknown: {escape(str(error))}")


@commands.command()
def verdicts(
    study_id: StudyId,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    add_seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Queue the study with N more seeds; finished runs are reused."),
    ] = None,
    again: Again = False,
    yes: Yes = False,
) -> None:
    """Judge the paper's claims by a study's runs, and say what would decide the undecided ones."""
    from data.queries import studies
    from tasks.cli.verdicts import table, values, verdicts_of

    with recorded() as database:
        full_id = studies.find_study(database, study_id)
        if add_seeds is not None:
            _add_seeds(studies.study(database, full_id).study, add_seeds, again, yes)
            return
        results = verdicts_of(database, full_id)
    if json:
        out.print_json(data=values(results))
    elif results:
        out.print(table(results))
    else:
        out.print("no training of this study has finished yet")


def _add_seeds(study: "Study", more: int, again: bool, yes: bool) -> None:
    from engine.study.spec import with_more_seeds
    from tasks.broker.server import serving
    from tasks.cli import watch

    with serving(settings()) as redis:
        larger = with_more_seeds(study, more)
        _ask_if_long(larger, yes)
        _launch(larger, again, "; what is trained already is reused")
        watch.say_if_no_workers(redis, err)


def _ask_if_long(study: "Study", yes: bool) -> None:
    from tasks.studies.planning import long_preview

    _ask(long_preview(study), f"Launch {study.name}?", yes)


def _ask(preview: "PlanPreview | None", question: str, yes: bool) -> None:
    """Print what trainings cost that take long, and at a terminal ask before they are queued, unless `yes`."""
    if preview is None:
        return
    err.print(f"[yellow]long:[/yellow] {escape(preview.costs())}", soft_wrap=True, highlight=False)
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True)


def _launch(study: "Study", again: bool, remark: str = "") -> str:
    """Queue a study, or join an equal one that was just launched, unless `again` or the reader's answer says no."""
    from tasks.cli import watch
    from tasks.queue.equal import LaunchedBefore
    from tasks.studies.launch import launch as queue_study

    name = escape(study.name)
    try:
        with watch.images_shown(err) as progress:
            study_id = queue_study(study, progress, again)
    except LaunchedBefore as before:
        if sys.stdin.isatty() and typer.confirm(f"{before}. Launch another?"):
            return _launch(study, again=True, remark=remark)
        out.print(f"joined {name}, launched before as [bold]{before.study_id}[/bold]; --again launches another")
        return before.study_id
    out.print(f"launched {name} as [bold]{study_id}[/bold]{remark}")
    return study_id


@commands.command()
def cancel(study_id: StudyId) -> None:
    """Cancel a study's stages, except those that another study needs."""
    from tasks.queue import leases
    from tasks.studies import launch as queued

    with served(begin()) as redis:
        full_id = queued.find(study_id)
        out.print(f"cancelled {plural(queued.cancel(full_id), 'stage')} of {full_id}")
        counts = leases.counts(redis, full_id)
        if going := sum(counts[state] for state in ("waiting", "queued", "running")):
            out.print(f"{plural(going, 'stage')} of it that another study needs will be trained all the same")


@commands.command()
def retry(study_id: StudyId, yes: Yes = False) -> None:
    """Queue a study's failed and cancelled stages again."""
    from tasks.cli import watch
    from tasks.studies import launch as queued

    with served(begin()) as redis:
        full_id = queued.find(study_id)
        _ask(queued.long_retry(full_id), f"Queue what is left of {full_id}?", yes)
        queued.retry(full_id)
        out.print(f"queued what was left of {full_id}")
        watch.say_if_no_workers(redis, err)


def _read(name: str, scale: str | None, data: str | None) -> "Study":
    from data.datasets.registry import must_be_fetched
    from tasks.cli.plugins import fetch_one
    from tasks.studies.catalog import read

    study = read(name, scale, data)
    for dataset in study.datasets:
        if must_be_fetched(dataset, settings().home):
            # What a command prints stays what it was.
            fetch_one(dataset, err)
    return study


def _scaling(name: str, scale: str | None, data: str | None) -> tuple[str, ...]:
    from engine.paper.studies import scaling

    return scaling((scale or "paper").lower(), data) if name.startswith("paper:") else ()


def _say_scaling(name: str, scale: str | None, data: str | None) -> None:
    for sentence in _scaling(name, scale, data):
        out.print(escape(sentence), soft_wrap=True, highlight=False)
