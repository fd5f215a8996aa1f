"""The command `run`, which trains a study without Redis and DuckDB and writes its tables."""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data import parquet
from data.datasets.loading import load
from data.settings import Settings
from engine.study.plan import Plan
from engine.study.results import StageResult
from engine.study.spec import Study, to_toml
from tasks.studies.planning import plan_study
from tasks.worker.local import StageFailed, Stopped, run

INTERRUPTED = 130


def run_study(config: Settings, study: Study, out: Path, devices: Sequence[str], console: Console) -> None:
    """Train a study, save weights and results under out/artifacts, and write its tables and TOML to out.

    devices: one for each process. Raises typer.Exit with code 1 if a stage failed and 130 after a signal, and what
    `plan_study` and `data.datasets.loading.load` raise.
    """
    plan = plan_study(study, config.home)
    _write_study(out, plan.study)
    try:
        results = _with_bar(plan, str(out.resolve() / "artifacts"), config, devices, console)
    except Stopped:
        console.print(f"stopped; the same command resumes from what is saved in {out}")
        raise typer.Exit(INTERRUPTED) from None
    except StageFailed as error:
        console.print(f"[red]not finished:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    parquet.write(parquet.tables_from_results(plan, results), out)
    console.print(f"wrote {', '.join(f'{name}.parquet' for name in parquet.SCHEMAS)} and study.toml to {out}")


def _write_study(out: Path, study: Study) -> None:
    """Write the study to its folder, before the first training, so that a folder that is read-only is noticed early."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.toml").write_text(to_toml(study), encoding="utf-8")


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
