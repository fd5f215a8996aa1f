"""How far is the time left of a study from the time that it then took? python -m benchmarks.time_left."""

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.own_redis import own_redis
from data.database.database import Database
from data.queries import studies
from data.queries.studies import UnknownStudy
from data.settings import Settings
from engine.paper.studies import study as paper_study
from engine.study.spec import Study, load_study, with_more_seeds
from tasks.process import ROOT, python, spawn
from tasks.queue import telemetry
from tasks.queue.telemetry import LiveProgress
from tasks.studies import launch, time_left
from tasks.studies.planning import epoch_seconds

# The estimate must be within this factor of the truth once this fraction of a study's epochs is trained.
FACTOR, FROM = 1.5, 0.25
# With less than this many seconds left, the last seconds of a stage decide the factor.
LEAST_LEFT = 5.0
SAMPLE_SECONDS = 1.0
# The interrupted study stands still for this many seconds at this fraction of its epochs.
PAUSE_SECONDS, PAUSE_AT = 15.0, 0.4


def cases() -> dict[str, tuple[Study, bool]]:
    """Return the five studies, in the order in which they are trained, and whether each is interrupted."""
    demo = load_study(ROOT / "studies" / "demo.toml")
    recipe = demo.recipe.model_copy(update={"epochs": 15})
    two = {"networks": ("lenet300", "resnet20"), "learning_rates": (0.01,), "sparsities": (0.5, 0.9), "recipe": recipe}
    return {
        "demo": (demo, False),
        "fig13, small": (paper_study("fig13", "small"), False),
        "two networks": (demo.model_copy(update={"name": "Two networks", **two}), False),
        "interrupted": (demo.model_copy(update={"name": "Interrupted", "seeds": (10, 11, 12)}), True),
        "reuse": (with_more_seeds(demo, 3), False),
    }


@dataclass
class Samples:
    """What was known of a study, second by second. moved: seconds of training so far, pauses left out."""

    moved: list[float] = field(default_factory=list)
    fraction: list[float] = field(default_factory=list)
    predicted: list[float | None] = field(default_factory=list)
    former: list[float | None] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)


def measure(config: Settings, study: Study, interrupted: bool, workers: int) -> Samples:
    """Train a study, and return its samples; the last one is that of its end.

    interrupted: all workers are stopped for PAUSE_SECONDS on the way.
    """
    database, samples = Database(config.database), Samples()
    with _training(config, workers) as processes:
        study_id = launch.launch(study)
        begin, paused = time.monotonic(), 0.0
        while True:
            began = time.monotonic()
            state = _sample(config, database, study_id, samples, began - begin - paused)
            if state == "done":
                return samples
            if state in ("failed", "cancelled"):
                raise RuntimeError(f"{study.name} is {state}; look into the logs of its workers")
            if interrupted and not paused and samples.fraction and samples.fraction[-1] >= PAUSE_AT:
                paused = _pause(config, processes, workers)
            time.sleep(max(0.0, SAMPLE_SECONDS - (time.monotonic() - began)))


def _sample(config: Settings, database: Database, study_id: str, samples: Samples, moved: float) -> str:
    """Add a sample, and return the state of the study, "" before it is recorded."""
    try:
        state, rows = studies.study(database, study_id).state, studies.stages(database, study_id)
    except UnknownStudy:
        return ""
    live = telemetry.progress(rows["fingerprint"])
    places = time_left.places(telemetry.known_workers(), rows)
    planned = partial(epoch_seconds, config, database, study_id)
    ends = [time_left.stage_seconds_left(stage) or 0.0 for stage in live.values()]
    samples.moved.append(moved)
    samples.fraction.append(_fraction(rows, live))
    samples.predicted.append(time_left.seconds_left(rows, live, places, planned))
    samples.former.append(former(rows, live))
    samples.slowest.append(max(ends, default=0.0))
    return state


def _done(rows: pd.DataFrame, live: Mapping[str, LiveProgress]) -> pd.Series:
    now = rows["fingerprint"].map({fingerprint: float(stage.epoch) for fingerprint, stage in live.items()})
    done = pd.concat([rows["epoch"].astype(float), now.astype(float)], axis=1).max(axis=1)
    return done.where(rows["state"] != "done", rows["epochs"]).astype(float)


def _fraction(rows: pd.DataFrame, live: Mapping[str, LiveProgress]) -> float:
    """Return the trained fraction of the epochs that were left at the launch."""
    new = ~rows["reused"]
    return float(_done(rows, live)[new].sum() / max(1, rows["epochs"][new].sum()))


def former(rows: pd.DataFrame, live: Mapping[str, LiveProgress]) -> float | None:
    """Return the time left as it was estimated before: epochs left, times their mean duration, by stages in training.

    It is None before any stage is done or has a speed.
    """
    unfinished = rows["state"].isin(["waiting", "queued", "running"])
    left = float((rows["epochs"] - _done(rows, live))[unfinished].sum())
    measured = rows[(rows["state"] == "done") & rows["seconds"].notna() & rows["diverged"].isna()]
    if len(measured):
        each = float(measured["seconds"].sum() / measured["epochs"].sum())
    else:
        speeds = [stage.epochs_per_second for stage in live.values() if stage.epochs_per_second > 0]
        if not speeds:
            return None
        each = len(speeds) / sum(speeds)
    return left * each / max(1, int((rows["state"] == "running").sum()))


@contextmanager
def _training(config: Settings, workers: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Run a recorder and workers for the block, and yield the workers' processes, which the block may replace."""
    recorder = spawn(python("-m", "tasks", "recorder"), config.home / "recorder.log")
    processes = _start(config, workers)
    try:
        yield processes
    finally:
        for process in [*processes, recorder]:
            process.terminate()
            process.wait()


def _start(config: Settings, workers: int) -> list["subprocess.Popen[bytes]"]:
    command = python("-m", "tasks.worker", "--device", "cpu")
    return [spawn(command, config.home / f"worker-{number}.log") for number in range(workers)]


def _pause(config: Settings, processes: list["subprocess.Popen[bytes]"], workers: int) -> float:
    """Stop all workers after their epoch, start others later, and return the seconds in which none trained."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
    begin = time.monotonic()
    time.sleep(PAUSE_SECONDS)
    processes[:] = _start(config, workers)
    while len(telemetry.workers()) < workers:
        time.sleep(0.1)
    return time.monotonic() - begin


def judged(samples: Samples, estimates: Sequence[float | None]) -> dict[str, float | int | None]:
    """Return how far estimates are from the truth once FROM is trained and LEAST_LEFT seconds are left.

    within: the share within FACTOR, of which an unknown time is none. median, worst: factors, always at least 1.
    """
    end = samples.moved[-1]
    factors = []
    for moved, fraction, estimate in zip(samples.moved, samples.fraction, estimates, strict=True):
        truth = end - moved
        if fraction >= FROM and truth >= LEAST_LEFT:
            factors.append(max(estimate / truth, truth / estimate) if estimate else math.inf)
    known = [factor for factor in factors if math.isfinite(factor)]
    return {
        "samples": len(factors),
        "unknown": len(factors) - len(known),
        "within": sum(factor <= FACTOR for factor in factors) / len(factors) if factors else None,
        "median": statistics.median(known) if known else None,
        "worst": max(known, default=None),
    }


def below_rows(samples: Samples, estimates: Sequence[float | None]) -> int:
    """Return in how many samples the time left was below that of a stage in training."""
    return sum(
        estimate is not None and estimate < slowest - 1e-6
        for estimate, slowest in zip(estimates, samples.slowest, strict=True)
    )


def result(name: str, samples: Samples) -> dict[str, Any]:
    """Return the figures of a study, with its samples: seconds moved, fraction, truth, predicted and former."""
    end = samples.moved[-1]
    columns = (samples.moved, samples.fraction, samples.predicted, samples.former)
    return {
        "study": name,
        "seconds": round(end, 1),
        "predicted": {**judged(samples, samples.predicted), "below_a_row": below_rows(samples, samples.predicted)},
        "former": {**judged(samples, samples.former), "below_a_row": below_rows(samples, samples.former)},
        "samples": [
            [round(moved, 1), round(fraction, 3), round(end - moved, 1), _rounded(predicted), _rounded(former)]
            for moved, fraction, predicted, former in zip(*columns, strict=True)
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return a row for each study and each way to estimate."""
    rows = []
    for case in measured:
        for kind in ("predicted", "former"):
            figures = case[kind]
            known = figures["median"] is not None
            rows.append(
                {
                    "study": case["study"],
                    "estimate": kind,
                    "took, s": f"{case['seconds']:.0f}",
                    "samples": figures["samples"],
                    f"within {FACTOR:g}": "" if figures["within"] is None else f"{figures['within']:.0%}",
                    "median factor": f"{figures['median']:.2f}" if known else "",
                    "worst": f"{figures['worst']:.2f}" if known else "",
                    "below a row": figures["below_a_row"],
                }
            )
    return results_io.table(f"time left from {FROM:.0%} of the epochs on", rows, left=("study", "estimate"))


def main() -> int:
    """Measure, show it, and write it to the file of --json; return 1 if the worst factor of a study exceeds FACTOR."""
    parser = options.parser("time_left", __doc__)
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--study", nargs="+", choices=list(cases()), default=list(cases()), help="only these")
    arguments = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder)) as config:
        Database(config.database).ensure()
        chosen = {name: case for name, case in cases().items() if name in arguments.study}
        for name, (study, interrupted) in chosen.items():
            measured.append(result(name, measure(config, study, interrupted, arguments.workers)))
            results_io.show(table(measured[-1:]))
    results_io.show(table(measured))
    goal = {"factor": FACTOR, "from": FROM, "least_left": LEAST_LEFT}
    columns = ["seconds", "fraction of epochs", "truth", "predicted", "former"]
    figures = {"goal": goal, "workers": arguments.workers, "columns": columns, "measured": measured}
    results_io.write("time_left", arguments, figures, torch.device("cpu"))
    return int(any((case["predicted"]["worst"] or math.inf) > FACTOR for case in measured))


if __name__ == "__main__":
    sys.exit(main())
