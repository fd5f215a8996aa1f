"""Training from a notebook: by the workers of the queue, or in this process."""

import sys
from collections import Counter
from pathlib import Path

from data import parquet
from data.datasets.loading import load
from data.settings import settings
from engine.study.plan import Plan
from engine.study.results import StageResult
from engine.study.spec import Study, read_study
from tasks.broker.server import serving
from tasks.queue import telemetry
from tasks.queue.equal import LaunchedBefore
from tasks.studies import catalog
from tasks.studies.launch import launch
from tasks.studies.planning import plan_study
from tasks.worker import local
from tasks.worker.devices import devices
from ticketscope import bars
from ticketscope.results import AnyStudy


def settings_of(study: Study | AnyStudy | str | Path) -> Study:
    """Return a study from itself, its file, its TOML or its name; StudyError where it is faulty."""
    if isinstance(study, Study):
        return study
    if isinstance(study, AnyStudy):
        return study.settings
    text = str(study)
    return read_study(text) if isinstance(study, str) and "=" in text and "\n" in text else catalog.read(text)


def queue(study: Study | AnyStudy | str | Path, again: bool = False) -> str:
    """Queue a study for the workers, and return its id; see `ticketscope.launch`."""
    wanted = settings_of(study)
    with serving(settings()) as redis, bars.shown() as say:
        try:
            study_id = launch(wanted, say, again)
        except LaunchedBefore as before:
            study_id = before.study_id
            print(f"{before}; again=True launches another", file=sys.stderr)
        if not telemetry.workers(redis):
            print("no workers are running; ticketscope up starts everything, ticketscope worker one", file=sys.stderr)
    return study_id


def train(study: Study | AnyStudy | str | Path, out: Path, jobs: int = 1, device: str | None = None) -> None:
    """Train a study here, and write its TOML, its tables and its weights to a folder; see `ticketscope.run`."""
    config = settings()
    plan = plan_study(settings_of(study), config.home)

    def with_bars(artifacts: str) -> dict[str, StageResult]:
        with bars.shown() as say:
            for name in plan.study.datasets:
                load(name, config.home, say)
            return local.run(plan, artifacts, config, devices(device or config.device, jobs), _report(plan, say))

    try:
        parquet.write_trained(plan, out, with_bars)
    except local.Stopped:
        raise KeyboardInterrupt(f"stopped; the same call goes on from what is saved in {out}") from None


def _report(plan: Plan, say: bars.Say) -> local.EpochReport:
    """Return a function that shows how many epochs of all trainings are done."""
    total = sum(stage.epochs for stage in plan.stages.values())
    reached: Counter[str] = Counter()
    done: set[str] = set()
    trained = 0

    def report(fingerprint: str, epoch: int) -> None:
        nonlocal trained
        trained += epoch - reached[fingerprint]
        reached[fingerprint] = epoch
        if epoch == plan.stages[fingerprint].epochs:
            done.add(fingerprint)
        say(f"{len(done)} of {len(plan.stages)} trainings", trained, total)

    return report
