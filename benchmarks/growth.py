"""How long the heaviest single steps take, and how that grows with the work: python -m benchmarks.growth."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import made_world, options, surroundings, workers
from benchmarks.written import spread, write
from engine.overlap import overlap_counts
from engine.paper import figures as paper
from engine.paper import studies
from engine.study.spec import Study, parse_study
from tasks.broker import connection
from tasks.queue import leases
from tasks.studies import launch
from tasks.studies.planning import plan_study

PACKAGES = ("torch", "numpy", "pydantic", "redis", "celery", "duckdb", "pyarrow")
PS = (0.1, 0.2, 0.3, 0.4, 0.5)

# Does a step at some size, and returns the seconds that it took and how much work that was.
Take = Callable[[float], tuple[float, int]]


@dataclass(frozen=True)
class Step:
    """A step that is measured.

    ready: makes the step ready on a device for as long as it is measured. of: what its work is counted in. sizes: by
    which it is measured, rising, the last ten times the first. whole: the one of them that the goal is for. goal: by
    type of device, at most so many seconds, or where by_rate is set, at least so much work per second.
    """

    title: str
    of: str
    ready: Callable[[torch.device], AbstractContextManager[Take]]
    sizes: tuple[float, ...]
    whole: float
    goal: Mapping[str, float]
    by_rate: bool = False


def whole_paper(seeds: int) -> Study:
    """Return all figures of the paper as one study of so many seeds."""
    # Checked, so that nothing is measured that could not be launched.
    values = studies.study(paper.ALL).model_dump()
    parts = [{name: value for name, value in part.items() if value is not None} for part in values["parts"]]
    return parse_study({**values, "parts": parts, "seeds": tuple(range(seeds))})


@contextmanager
def _planning(device: torch.device) -> Iterator[Take]:
    del device
    with tempfile.TemporaryDirectory() as folder:

        def take(seeds: float) -> tuple[float, int]:
            made = whole_paper(int(seeds))
            begin = time.perf_counter()
            planned = plan_study(made, Path(folder))
            return time.perf_counter() - begin, len(planned.stages)

        yield take


@contextmanager
def _launching(device: torch.device) -> Iterator[Take]:
    del device
    with tempfile.TemporaryDirectory() as folder, surroundings.around(Path(folder) / "home") as config:
        redis = connection.client(config)

        def take(seeds: float) -> tuple[float, int]:
            # What is queued already would be shared.
            redis.flushall()
            made = whole_paper(int(seeds))
            begin = time.perf_counter()
            study_id = launch.launch(made)
            seconds = time.perf_counter() - begin
            return seconds, int(redis.scard(f"{leases.PREFIX}members:{study_id}"))

        yield take


@contextmanager
def _recording(device: torch.device) -> Iterator[Take]:
    del device
    kind = workers.KINDS[0]

    def take(stages: float) -> tuple[float, int]:
        found = workers.most(kind, int(stages))
        return found["seconds"], found["stages"] * kind.study["recipe"]["epochs"]

    yield take


@contextmanager
def _overlap(device: torch.device) -> Iterator[Take]:
    names, counts = made_world.layers("vgg11", "cifar10")
    draws = torch.Generator().manual_seed(0)

    def network(sizes: Sequence[int]) -> dict[str, torch.Tensor]:
        drawn = (torch.randn(size, generator=draws).to(device) for size in sizes)
        return dict(zip(names, drawn, strict=True))

    def take(times: float) -> tuple[float, int]:
        sizes = [round(times * count) for count in counts]
        pair = network(sizes), network(sizes)
        begin = _now(device)
        overlap_counts(*pair, PS)
        return _now(device) - begin, sum(sizes)

    take(0.01)
    yield take


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


# The paper has five seeds; with a hundred it would be beyond what a study may hold.
STEPS = {
    "planning": Step("plan paper:all", "stages", _planning, (1, 5, 10), 5, {"cpu": 1.0}),
    "launching": Step("launch paper:all", "stages", _launching, (1, 5, 10), 5, {"cpu": 2.0}),
    "recording": Step("drain a stream", "epoch rows", _recording, (200, 2000), 2000, {"cpu": 5000.0}, by_rate=True),
    "overlap": Step("count a VGG-11 pair", "weights", _overlap, (1, 10), 1, {"cpu": 0.5, "cuda": 0.05}),
}


def measure(
    name: str,
    device: torch.device,
    repetitions: int,
    sizes: Sequence[float] = (),
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Take a step of STEPS at each of its sizes in turns, and return what was measured.

    sizes: others than its own, for which there is no goal. tell: called after each time that it is taken.
    """
    step = STEPS[name]
    chosen = tuple(sizes) or step.sizes
    taken: dict[float, list[tuple[float, int]]] = {size: [] for size in chosen}
    with step.ready(device) as take:
        for _ in range(repetitions):
            for size in chosen:
                taken[size].append(take(size))
                tell()
    rows = [_row(size, found) for size, found in taken.items()]
    least, most = rows[0], rows[-1]
    return {
        "step": name,
        "of": step.of,
        "rows": rows,
        "growth": {
            "work": most["work"] / least["work"],
            "seconds": most["seconds"]["median"] / least["seconds"]["median"],
        },
        "goal": _held(step, device, rows),
    }


def _row(size: float, taken: Sequence[tuple[float, int]]) -> dict[str, Any]:
    seconds = [one for one, _ in taken]
    median = statistics.median(seconds)
    work = taken[0][1]
    return {
        "size": size,
        "work": work,
        "seconds": spread(seconds),
        "per_second": work / median,
    }


def _held(step: Step, device: torch.device, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return a step's goal and whether it is met; None where it was not measured at the size that the goal is for."""
    found = next((row for row in rows if row["size"] == step.whole), None)
    if found is None:
        return None
    goal = step.goal.get(device.type, step.goal["cpu"])
    if step.by_rate:
        return {"size": step.whole, "per_second": goal, "met": found["per_second"] >= goal}
    return {"size": step.whole, "seconds": goal, "met": found["seconds"]["median"] <= goal}


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return what was measured as a table: medians, and their spread in brackets."""
    shown = Table(title="seconds by size of the work")
    for column in ("step", "work", "seconds", "per second", "goal", "met", "growth"):
        shown.add_column(column, justify="left" if column in ("step", "goal", "met") else "right")
    for found in measured:
        goal, growth = found["goal"], found["growth"]
        for row in found["rows"]:
            seconds = row["seconds"]
            held = goal if goal and goal["size"] == row["size"] else None
            shown.add_row(
                STEPS[found["step"]].title if row is found["rows"][0] else "",
                f"{row['work']:,} {found['of']}",
                f"{seconds['median']:.3f} ({seconds['least']:.3f}-{seconds['most']:.3f})",
                f"{row['per_second']:,.0f}",
                _told(held) if held else "",
                ("yes" if held["met"] else "no") if held else "",
                f"{growth['seconds']:.1f} times for {growth['work']:.1f}" if row is found["rows"][-1] else "",
            )
        shown.add_section()
    return shown


def _told(goal: Mapping[str, Any]) -> str:
    return f"at most {goal['seconds']:g} s" if "seconds" in goal else f"at least {goal['per_second']:,.0f}/s"


def main() -> int:
    """Measure as the command line says, show it, and write it down where told to; 1 where a goal is missed."""
    given = _arguments()
    device = options.device(given)
    torch.set_num_threads(given.threads)
    begin, found = time.perf_counter(), []
    console = Console(width=130)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=given.repetitions * sum(len(STEPS[name].sizes) for name in given.only))
        for name in given.only:
            bars.update(bar, description=name)
            found.append(measure(name, device, given.repetitions, tell=lambda: bars.advance(bar)))
    console.print(table(found))
    figures = {
        "seconds": round(time.perf_counter() - begin),
        "repetitions": given.repetitions,
        "measured": found,
    }
    write("growth", given.json, device, PACKAGES, figures, console)
    return int(not all(row["goal"]["met"] for row in found))


def _arguments() -> argparse.Namespace:
    parser = options.parser("growth", __doc__)
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS), help="steps to measure")
    parser.add_argument("--repetitions", type=int, default=5, help="how often each size is measured")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's (default 1, as a worker has)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
