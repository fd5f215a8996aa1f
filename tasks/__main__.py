"""The command line: python -m tasks COMMAND."""

# What needs torch, DuckDB or Celery is imported by the command that uses it: importing it all takes seconds, and
# --help, a wrong option or a taken port should be answered at once.

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from data.settings import settings
from engine.errors import UserError
from tasks.broker.connection import BrokerError, errors_explained
from tasks.cli import maintenance, sharing
from tasks.cli.console import StudyId, err, out, recorded

if TYPE_CHECKING:
    from engine.study.spec import Study

app = typer.Typer(
    name="python -m tasks",
    help="Ticketscope: launch lottery-ticket studies and see whether a winning ticket is real.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(sharing.commands)
app.add_typer(maintenance.commands)

StudyFile = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A TOML file, demo, or paper:<id> such as paper:fig7, paper:fig7:a, paper:all."
    ),
]
Scale = Annotated[
    str | None, typer.Option(metavar="SCALE", help="Of a paper:<id>: paper, or small for what a laptop can finish.")
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATASET", help="Of a paper:<id>: a dataset in place of the paper's, or paper for those at scale small."
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one GPU such as cuda:0 [TICKETSCOPE_DEVICE].")]
Lease = Annotated[float, typer.Option(min=0.5, help="Seconds after which a silent worker loses its stage.")]


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address that the dashboard listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the dashboard listens on.")] = 8501,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes [TICKETSCOPE_WORKERS].")] = None,
    device: Device = None,
) -> None:
    """Run everything on this machine: Redis, recorder, workers and the dashboard. Ctrl-C stops them all."""
    from tasks.services.up import up as run_all
    from tasks.worker.devices import devices

    config = settings()
    run_all(config, host, port, devices(device or config.device, workers or config.workers), out)


@app.command()
def worker(
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many; else one per GPU, or per core [TICKETSCOPE_WORKERS].")
    ] = None,
    device: Device = None,
    lease: Lease = 20.0,
) -> None:
    """Train stages from the queue, until a signal says to stop: the first after the epoch, the second at once."""
    from tasks.broker.connection import serving
    from tasks.services.supervisor import Supervisor
    from tasks.services.up import DRAIN_SECONDS, end_dead_workers, worker_parts
    from tasks.worker.devices import devices

    config = settings()
    chosen = devices(device or config.device, processes or config.workers)
    with serving(config) as redis:
        end_dead_workers(redis)
        many = f"{len(chosen)} workers" if len(chosen) > 1 else "1 worker"
        out.print(f"{many} on {', '.join(sorted(set(chosen)))}; Ctrl-C stops after the epoch, twice at once")
        Supervisor([worker_parts(config, chosen, lease, DRAIN_SECONDS)]).run()


@app.command()
def recorder(
    reap: Annotated[float, typer.Option(min=0.1, help="Seconds between looks for workers that died.")] = 2.0,
    stale: Annotated[float, typer.Option(min=0.1, help="Seconds after which a lost message is sent again.")] = 5.0,
) -> None:
    """Write what the workers publish into DuckDB, and give the stages of dead workers to others."""
    import signal
    import threading

    from tasks.broker.connection import serving
    from tasks.queue.leases import Timing
    from tasks.services.recorder import record

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    config = settings()
    with serving(config):
        record(config, Timing(reap=reap, stale=stale), stopping)


@app.command()
def plan(
    study: StudyFile,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Show what a study would train, what of it is done already, and how long the rest will take."""
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
        say_warnings(err, planned.warnings)
        return
    scaling = _scaling(study, scale, data) if study.startswith("paper:") else None
    out.print_json(data=plan_values(read.name, planned, unshared, scaling))


@app.command()
def launch(
    study: StudyFile,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress; exit 0 when done, 1 on failure.")] = False,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Only when no study was ever launched.")] = False,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Queue a study for the workers."""
    from tasks.broker.connection import serving
    from tasks.cli import watch
    from tasks.cli.tables import say_warnings
    from tasks.studies.launch import launch as queue_study
    from tasks.studies.planning import design_warnings

    config = settings()
    read = _read(study, scale, data)
    _say_scaling(study, scale, data)
    with serving(config) as redis:
        if if_empty and not watch.is_empty(config, redis):
            out.print("studies were launched here before")
            return
        say_warnings(err, design_warnings(read, config.home))
        study_id = queue_study(read, watch.say_copying(err))
        out.print(f"launched {escape(read.name)} as [bold]{study_id}[/bold]")
        watch.say_what_is_missing(redis, err)
        if wait and not watch.until_done(config, redis, study_id, out):
            raise typer.Exit(1)


@app.command()
def run(
    study: StudyFile,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the tables, and the weights under it.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; else one per GPU, or per core.")] = None,
    device: Device = None,
    scale: Scale = None,
    data: Data = None,
) -> None:
    """Train a whole study here, without Redis or DuckDB, and write its tables. Run again, it goes on where it was."""
    from tasks.cli.run import run_study
    from tasks.cli.tables import say_warnings
    from tasks.studies.planning import design_warnings
    from tasks.worker.devices import devices

    config = settings()
    read = _read(study, scale, data)
    _say_scaling(study, scale, data)
    say_warnings(err, design_warnings(read, config.home))
    run_study(config, read, out_folder, devices(device or config.device, jobs or config.workers), out)


@app.command()
def status(study_id: Annotated[str | None, typer.Argument(metavar="[STUDY_ID]", help="Only this one.")] = None) -> None:
    """Show all studies, or how one stands."""
    from data.queries import studies
    from tasks.broker.connection import connect
    from tasks.cli.tables import studies_table, study_tables, workers_line
    from tasks.queue.telemetry import known_workers

    with recorded() as store:
        if study_id is None:
            out.print(studies_table(store))
            try:
                out.print(workers_line(known_workers(connect(0.0))))
            except BrokerError as error:
                # What is recorded can be told without Redis.
                out.print(f"workers unknown: {escape(str(error))}")
            return
        for shown in study_tables(store, studies.find_study(store, study_id)):
            out.print(shown)


@app.command()
def verdicts(
    study_id: StudyId,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    add_seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Queue the study with N more seeds; what is done is reused.")
    ] = None,
) -> None:
    """Hold the paper's claims against a study's runs, and say what would decide those that are open."""
    from data.queries import studies
    from tasks.cli.verdicts import table, values, verdicts_of

    with recorded() as store:
        found = studies.find_study(store, study_id)
        if add_seeds is not None:
            _add_seeds(studies.study(store, found).study, add_seeds)
            return
        judged = verdicts_of(store, found)
    if json:
        out.print_json(data=values(judged))
    elif judged:
        out.print(table(judged))
    else:
        out.print("no training of this study has finished yet")


def _add_seeds(study: "Study", more: int) -> None:
    from engine.study.spec import with_more_seeds
    from tasks.broker.connection import serving
    from tasks.cli import watch
    from tasks.studies.launch import launch as queue_study

    wanted = with_more_seeds(study, more)
    with serving(settings()) as redis:
        study_id = queue_study(wanted, watch.say_copying(err))
        out.print(f"launched {escape(wanted.name)} as [bold]{study_id}[/bold]; what is trained already is reused")
        watch.say_what_is_missing(redis, err)


@app.command()
def cancel(study_id: StudyId) -> None:
    """Cancel a study's stages, but for those that another study needs."""
    from tasks.broker.connection import serving
    from tasks.studies.launch import cancel as cancel_study
    from tasks.studies.launch import find

    with serving(settings()):
        found = find(study_id)
        out.print(f"cancelled {cancel_study(found)} stages of {found}")


@app.command()
def retry(study_id: StudyId) -> None:
    """Queue a study's failed and cancelled stages again."""
    from tasks.broker.connection import serving
    from tasks.cli import watch
    from tasks.studies.launch import find
    from tasks.studies.launch import retry as retry_study

    with serving(settings()) as redis:
        found = find(study_id)
        retry_study(found)
        out.print(f"queued what was left of {found}")
        watch.say_what_is_missing(redis, err)


def _read(name: str, scale: str | None, data: str | None) -> "Study":
    from tasks.studies.catalog import read

    return read(name, scale, data)


def _scaling(name: str, scale: str | None, data: str | None) -> tuple[str, ...]:
    from engine.paper.studies import scaling

    return scaling((scale or "paper").lower(), data) if name.startswith("paper:") else ()


def _say_scaling(name: str, scale: str | None, data: str | None) -> None:
    for sentence in _scaling(name, scale, data):
        out.print(escape(sentence), soft_wrap=True, highlight=False)


def main() -> None:
    """Run a command; an error that a user can put right is printed on stderr without a traceback, with exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        # Also for a Redis that goes while a command watches.
        with errors_explained():
            app(prog_name="python -m tasks")
    except UserError as error:
        if warnings := getattr(error, "warnings", ()):
            from tasks.cli.tables import say_warnings

            say_warnings(err, warnings)
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
