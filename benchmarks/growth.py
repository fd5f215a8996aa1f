"""How many times as long does ten times the work take, in the heaviest single steps? python -m benchmarks.growth."""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks import made_results, options, results_io
from benchmarks.fixtures import now
from benchmarks.listing import listing
from benchmarks.own_redis import own_redis
from benchmarks.results_io import spread, spread_text
from benchmarks.workers import KINDS, PER_SEED, Kind, recorder, rows_of, simulated_study
from data.database.database import Database
from engine.overlap import overlap_counts
from engine.paper import figures as paper
from engine.paper import studies
from engine.study.spec import Study, parse_study
from tasks.broker import connection
from tasks.queue import scripts, telemetry
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tests.machine import wait_for

PS = (0.1, 0.2, 0.3, 0.4, 0.5)

# Does a step at one size, and returns its seconds and the amount of its work.
Take = Callable[[float], tuple[float, int]]


@dataclass(frozen=True)
class Step:
    """A step of the work on a study.

    ready: a context in which the step can be taken on a device. of: the unit of its work. sizes: rising, the last ten
    times the first. whole: the size of the goal. goal: by type of device, the most seconds, or the least work per
    second if by_rate is set; empty without a goal.
    """

    title: str
    of: str
    ready: Callable[[torch.device], AbstractContextManager[Take]]
    sizes: tuple[float, ...]
    whole: float
    goal: Mapping[str, float]
    by_rate: bool = False


def whole_paper(seeds: int) -> Study:
    """Return all figures of the paper as one study of some seeds."""
    # parse_study checks the limits, so every measured study could be launched.
    values = studies.study(paper.ALL).model_dump()
    parts = [{name: value for name, value in part.items() if value is not None} for part in values["parts"]]
    return parse_study({**values, "parts": parts, "seeds": tuple(range(seeds))})


@contextmanager
def _planning(device: torch.device) -> Iterator[Take]:
    del device
    with tempfile.TemporaryDirectory() as folder:

        def take(seeds: float) -> tuple[float, int]:
            study = whole_paper(int(seeds))
            begin = time.perf_counter()
            planned = plan_study(study, Path(folder))
            return time.perf_counter() - begin, len(planned.stages)

        yield take


@contextmanager
def _launching(device: torch.device) -> Iterator[Take]:
    del device
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder) / "home") as config:
        redis = connection.client(config)

        def take(seeds: float) -> tuple[float, int]:
            # Stages from an earlier launch would be reused.
            redis.flushall()
            study = whole_paper(int(seeds))
            begin = time.perf_counter()
            study_id = launch.launch(study)
            seconds = time.perf_counter() - begin
            return seconds, int(redis.scard(f"{scripts.PREFIX}members:{study_id}"))

        yield take


@contextmanager
def _recording(device: torch.device, kind: Kind, table: str) -> Iterator[Take]:
    del device

    def take(stages: float) -> tuple[float, int]:
        seconds, rows = drain(kind, int(stages))
        return seconds, rows[table]

    yield take


def drain(kind: Kind, count: int) -> tuple[float, dict[str, int]]:
    """Return the seconds in which a recorder drains a stream that some stages have filled, and the rows it recorded."""
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder) / "home") as config:
        redis = connection.client(config)
        study = simulated_study(kind, seeds=math.ceil(count / PER_SEED))
        Database(config.database).ensure()
        for fingerprint, stage in list(plan_study(study, config.home).stages.items())[:count]:
            result = made_results.result(stage, seed=0)
            chunks = [result["epochs"][at : at + kind.committed] for at in range(0, stage.epochs, kind.committed)]
            events: list[tuple[str, dict[str, Any]]] = [
                ("epochs", {"fingerprint": fingerprint, "rows": chunk}) for chunk in chunks
            ]
            telemetry.publish(redis, [*events, ("result", {"fingerprint": fingerprint, "result": result})])
        with recorder(Path(folder)) as (_, log):
            wait_for(lambda: "recording into" in log.read_text(), 60.0)
            begin = time.perf_counter()
            wait_for(lambda: redis.xlen(telemetry.EVENTS) == 0, 600.0)
            seconds = time.perf_counter() - begin
        return seconds, rows_of(config)


@contextmanager
def _overlap(device: torch.device) -> Iterator[Take]:
    names, counts = made_results.layers("vgg11", "cifar10")
    draws = torch.Generator().manual_seed(0)

    def network(sizes: Sequence[int]) -> dict[str, torch.Tensor]:
        weights = (torch.randn(size, generator=draws).to(device) for size in sizes)
        return dict(zip(names, weights, strict=True))

    def take(times: float) -> tuple[float, int]:
        sizes = [round(times * count) for count in counts]
        pair = network(sizes), network(sizes)
        begin = now(device)
        overlap_counts(*pair, PS)
        return now(device) - begin, sum(sizes)

    take(0.01)
    yield take


# The paper has five seeds; a study of a hundred would exceed the limits.
STEPS = {
    "planning": Step("plan paper:all", "stages", _planning, (1, 5, 10), 5, {"cpu": 1.0}),
    "launching": Step("launch paper:all", "stages", _launching, (1, 5, 10), 5, {"cpu": 2.0}),
    "recording": Step(
        "record epochs",
        "epoch rows",
        partial(_recording, kind=KINDS["fast"], table="epochs"),
        (200, 2000),
        2000,
        {"cpu": 5000.0},
        by_rate=True,
    ),
    "recording_overlaps": Step(
        "record overlaps",
        "overlap rows",
        partial(_recording, kind=KINDS["slow"], table="overlap_counts"),
        (200, 2000),
        2000,
        {},
    ),
    "listing": Step("list studies", "studies", listing, (100, 1000), 1000, {"cpu": 1.0}),
    "overlap": Step("count a VGG-11 pair", "weights", _overlap, (1, 10), 1, {"cpu": 0.5, "cuda": 0.05}),
}


def measure(name: str, device: torch.device, repetitions: int, sizes: Sequence[float] = ()) -> dict[str, Any]:
    """Take a step of STEPS at each of its sizes in turns, and return its times, their growth and the goal.

    sizes: replace the step's own sizes.
    """
    step = STEPS[name]
    sizes = tuple(sizes) or step.sizes
    taken: dict[float, list[tuple[float, int]]] = {size: [] for size in sizes}
    with step.ready(device) as take:
        for _ in range(repetitions):
            for size in sizes:
                taken[size].append(take(size))
    rows = [_row(size, pairs) for size, pairs in taken.items()]
    least, most = rows[0], rows[-1]
    return {
        "step": name,
        "of": step.of,
        "rows": rows,
        "growth": {
            "work": most["work"] / least["work"],
            "seconds": most["seconds"]["median"] / least["seconds"]["median"],
        },
        "goal": _goal(step, device, rows),
    }


def _row(size: float, taken: Sequence[tuple[float, int]]) -> dict[str, Any]:
    seconds = [each for each, _ in taken]
    work = taken[0][1]
    return {"size": size, "work": work, "seconds": spread(seconds), "per_second": work / statistics.median(seconds)}


def _goal(step: Step, device: torch.device, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return a step's goal and whether it is met; None if it has none or its size was not measured."""
    row = next((row for row in rows if row["size"] == step.whole), None)
    if row is None or not step.goal:
        return None
    goal = step.goal.get(device.type, step.goal["cpu"])
    if step.by_rate:
        return {"size": step.whole, "per_second": goal, "met": row["per_second"] >= goal}
    return {"size": step.whole, "seconds": goal, "met": row["seconds"]["median"] <= goal}


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the times by size of the work, the goals and the growth as a table."""
    rows = (_cells(step, row) for step in measured for row in step["rows"])
    return results_io.table("seconds by size of the work: median (least-most)", rows, left=("step", "goal", "met"))


def _cells(measured: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    goal, growth = measured["goal"], measured["growth"]
    row_goal = goal if goal and goal["size"] == row["size"] else {}
    limit = f"at most {row_goal['seconds']:g} s" if "seconds" in row_goal else ""
    return {
        "step": STEPS[measured["step"]].title if row is measured["rows"][0] else "",
        "work": f"{row['work']:,} {measured['of']}",
        "seconds": spread_text(row["seconds"], digits=3),
        "per second": f"{row['per_second']:,.0f}",
        "goal": f"at least {row_goal['per_second']:,.0f}/s" if "per_second" in row_goal else limit,
        "met": ("yes" if row_goal["met"] else "no") if row_goal else "",
        "growth": f"{growth['seconds']:.1f} times for {growth['work']:.1f}" if row is measured["rows"][-1] else "",
    }


def main() -> int:
    """Measure what the command line names, show it and write it to --json's file; return 1 if a goal is missed."""
    arguments = _arguments()
    device = options.device(arguments)
    torch.set_num_threads(arguments.threads)
    begin = time.perf_counter()
    measured = [measure(name, device, arguments.repetitions) for name in results_io.progress(arguments.only)]
    results_io.show(table(measured))
    seconds = round(time.perf_counter() - begin)
    figures = {"seconds": seconds, "repetitions": arguments.repetitions, "measured": measured}
    results_io.write("growth", arguments, figures, device)
    return int(not all(row["goal"]["met"] for row in measured if row["goal"]))


def _arguments() -> argparse.Namespace:
    parser = options.parser("growth", __doc__)
    options.add_device(parser)
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS), help="steps to measure")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each size")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
