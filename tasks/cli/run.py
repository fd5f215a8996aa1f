"""The command `run`, which trains a study without Redis and DuckDB and writes its tables."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data import parquet
from data.artifacts.store import ArtifactError, Artifacts
from data.datasets.loading import load
from data.settings import Settings
from engine.study.plan import Plan
from engine.study.results import StageResult
from engine.study.spec import Study
from tasks import progress
from tasks.cli.console import say_line
from tasks.studies.planning import plan_study, seconds_of_stages
from tasks.units import plural
from tasks.worker.local import StageFailed, Stopped, run

INTERRUPTED = 130


def run_study(config: Settings, study: Study, out: Path, devices: Sequence[str], console: Console) -> None:
    """Train a study, save weights and results under out/artifacts, and write its tables and TOML to out.

    devices: one for each process. Raises typer.Exit with code 1 if a stage failed and 130 after a signal, and what
    `plan_study` and `data.datasets.loading.load` raise.
    """
    plan = plan_study(study, config.home)
    train = _with_bar if console.is_interactive else _with_lines
    try:
        parquet.write_trained(plan, out, lambda artifacts: train(plan, artifacts, config, devices, console))
    except Stopped:
        _say(console, f"stopped; the same command resumes from what is saved in {out}")
        raise typer.Exit(INTERRUPTED) from None
    except StageFailed as error:
        console.print(f"[red]not finished:[/red] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    _say(console, f"wrote {', '.join(f'{name}.parquet' for name in parquet.SCHEMAS)} and study.toml to {out}")


def _say(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True, highlight=False)


def _fetch(name: str, home: Path, bars: Progress) -> None:
    """Load a dataset before the first training, to show its download and to report a failed download once."""
    bar = bars.add_task(f"dataset {name}", total=None)
    load(name, home, lambda what, done, total: bars.update(bar, description=what, completed=done, total=total))
    bars.remove_task(bar)


def _with_bar(
    plan: Plan, artifacts: str, config: Settings, devices: Sequence[str], console: Console
) -> dict[str, StageResult]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        for name in plan.study.datasets:
            _fetch(name, config.home, bars)
        bar = bars.add_task(f"{len(plan.stages)} trainings", total=sum(s.epochs for s in plan.stages.values()))
        reached: dict[str, int] = {}

        def report(fingerprint: str, epoch: int) -> None:
            bars.advance(bar, epoch - reached.get(fingerprint, 0))
            reached[fingerprint] = epoch

        return run(plan, artifacts, config, devices, report)


class _Tally:
    """What a run has done; the time left is that of the remaining work at the speed of the run so far.

    seconds: the estimated seconds of each stage, by which its epochs are weighed.
    """

    def __init__(self, plan: Plan, artifacts: str, seconds: Mapping[str, float]) -> None:
        self._plan = plan
        self._artifacts = Artifacts(artifacts)
        self._seconds = seconds
        self._epochs: dict[str, int] = {}
        self._done = self._artifacts.finished() & plan.stages.keys()
        self._before = self._work(self._done)
        self._failed: set[str] = set()
        self._blocked: set[str] = set()
        self._fetched = ""
        self._began = time.monotonic()

    def fetch(self, what: str, done: int, total: int) -> None:
        """Note how much of a dataset is there."""
        self._fetched = f"{what}, {done / total:.0%}" if total else what

    def begin(self) -> None:
        """Note that training begins, from when on time counts."""
        self._fetched, self._began = "", time.monotonic()

    def epoch(self, fingerprint: str, epoch: int) -> None:
        """Note how many epochs of a stage are trained."""
        self._epochs[fingerprint] = epoch

    def ended(self, fingerprint: str, why: str | None) -> str:
        """Note that a stage has ended, and return a line about it; why: the reason if it failed."""
        name = progress.name(self._plan.stages[fingerprint])
        if why is not None:
            self._failed.add(fingerprint)
            self._blocked |= self._descendants(fingerprint)
            # All lines of a reason are printed at the end.
            return f"failed: {name}: {why.splitlines()[0]}"
        self._done.add(fingerprint)
        with suppress(ArtifactError):
            if result := self._artifacts.result(fingerprint):
                return f"done: {name}: {progress.outcome(result)}"
        return f"done: {name}"

    def state(self) -> str:
        """Return what is done and left, in words."""
        if self._fetched:
            return self._fetched
        over = {*self._done, *self._failed, *self._blocked}
        trained = {name: epoch for name, epoch in list(self._epochs.items()) if name not in over}
        running = sum(self._seconds[name] * epoch / self._plan.stages[name].epochs for name, epoch in trained.items())
        done = self._work(list(self._done)) - self._before + running
        left = self._work(self._plan.stages.keys() - over) - running
        seconds = (time.monotonic() - self._began) * left / done if done > 0 else None
        out = {"failed": len(self._failed), "blocked": len(self._blocked)}
        return progress.state(len(self._done), len(self._plan.stages), out, seconds=seconds)

    def _work(self, fingerprints: Iterable[str]) -> float:
        return sum(self._seconds[fingerprint] for fingerprint in fingerprints)

    def _descendants(self, fingerprint: str) -> set[str]:
        children = set(self._plan.children[fingerprint])
        return children.union(*map(self._descendants, children))


def _with_lines(
    plan: Plan, artifacts: str, config: Settings, devices: Sequence[str], console: Console
) -> dict[str, StageResult]:
    tally = _Tally(plan, artifacts, seconds_of_stages(config, plan, devices))
    lines = progress.Lines(partial(say_line, console), tally.state)

    def ended(fingerprint: str, why: str | None) -> None:
        lines.add("trainings ended", tally.ended(fingerprint, why))

    with lines.running():
        for name in plan.study.datasets:
            load(name, config.home, tally.fetch)
        tally.begin()
        lines.add("trainings begin", f"training on {plural(len(devices), 'process', 'processes')}")
        return run(plan, artifacts, config, devices, tally.epoch, ended)
