"""The command `run`: a study trained in this process or in some beside it, and its tables written."""

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
    """Train a study with its weights and results under out/artifacts, and write its tables and TOML to out.

    devices: that of each process. Raises typer.Exit with code 1 where a stage failed, 130 where asked to stop, and
    what `plan_study` and `data.datasets.registry.load` raise.
    """
    plan = plan_study(study, config.home)
    _check_free(out, plan.study)
    results: dict[str, StageResult] = {}
    failed: StageFailed | None = None
    try:
        results = _with_bar(plan, str(out.resolve() / "artifacts"), config, devices, console)
    except Stopped:
        console.print(f"stopped; the same command goes on from here with what is kept in {out}")
        raise typer.Exit(INTERRUPTED) from None
    except StageFailed as error:
        failed = error
    if failed is not None:
        console.print(f"[red]not finished:[/red] {escape(str(failed))}")
        raise typer.Exit(1)
    parquet.write(parquet.tables_from_results(plan, results), out)
    console.print(f"wrote {', '.join(f'{name}.parquet' for name in parquet.SCHEMAS)} and study.toml to {out}")


def _check_free(out: Path, study: Study) -> None:
    """Write the study beside what it will give, after seeing that the folder can be written."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.toml").write_text(to_toml(study), encoding="utf-8")


def _fetch(name: str, home: Path, bars: Progress) -> None:
    """Have a dataset at hand before the first training, so that a download is shown, and a failed one told once."""
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
