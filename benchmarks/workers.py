"""Does all that any number of workers publish reach the database, and how fast? python -m benchmarks.workers."""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import RedisError
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.own_redis import own_redis
from benchmarks.results_io import ROOT
from benchmarks.simulated_workers import CHECKPOINT_SECONDS
from data.database.database import Database
from data.settings import Settings
from engine.study.spec import Study, parse_study
from tasks.broker import connection as broker
from tasks.process import python, spawn
from tasks.queue import leases, telemetry
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tests.machine import wait_for

PER_PROCESS = 17
# Stages of one seed: 5 rates x (1 dense network, and 12 sparsities x 4 starts for each of two pruners).
PER_SEED = 5 * (1 + 12 * 4 * 2) - 5 * 4
SAMPLE_SECONDS = 0.2
FAULTS = ("leases_lost", "stages_begun_twice", "epochs_missing", "overlap_rows_missing", "results_missing")


@dataclass(frozen=True)
class Kind:
    """A kind of training, and the epochs per second of a worker that does it."""

    name: str
    rate: float
    study: dict[str, Any]

    @property
    def committed(self) -> int:
        """The epochs between two checkpoints."""
        return max(1, round(CHECKPOINT_SECONDS * self.rate))


# Fast: a small network on a laptop's core. Slow: the paper's networks on a GPU, whose epochs take about a second.
KINDS = {
    "fast": Kind("fast", 80.0, {"datasets": ["digits"], "networks": ["lenet300"], "recipe": {"epochs": 150}}),
    "slow": Kind("slow", 1.0, {"datasets": ["cifar10"], "networks": ["resnet20"], "recipe": {"epochs": 15}}),
}


def simulated_study(kind: Kind, seeds: int) -> Study:
    """Return a study; each seed has a dense training at 5 rates, and 12 sparsities x 4 starts for each of 2 pruners."""
    return parse_study(
        {
            "name": f"Simulated, {kind.name}",
            "learning_rates": [0.01, 0.03, 0.1, 0.3, 1.0],
            "pruners": ["oneshot", "iterative"],
            "sparsities": [round(1 - 0.85**round_, 3) for round_ in range(1, 13)],
            "seeds": list(range(seeds)),
            **kind.study,
        }
    )


@contextmanager
def recorder(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run a real recorder for the block; yield its process and its log."""
    log = folder / "recorder.log"
    process = spawn(python("-m", "tasks", "recorder"), log)
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait()


@dataclass
class Samples:
    """Lengths of the stream, and bytes of Redis's memory, sampled while the workers run."""

    backlog: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def sample(redis: Redis, samples: Samples, ended: threading.Event) -> None:
    """Sample the stream and Redis's memory until `ended` is set."""
    while not ended.wait(SAMPLE_SECONDS):
        try:
            samples.backlog.append(int(redis.xlen(telemetry.EVENTS)))
            samples.memory.append(int(redis.info("memory")["used_memory"]))
        except RedisError:
            continue


def measure(kind: Kind, count: int, seconds: float) -> dict[str, Any]:
    """Run workers of a kind with a real recorder for some seconds; return rates, backlog, waits and faults."""
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder) / "home") as config:
        redis = broker.client(config)
        empty = int(redis.info("memory")["used_memory"])
        study = simulated_study(kind, seeds=_seeds(kind, count, seconds))
        planned = plan_study(study, config.home)
        begin = time.perf_counter()
        launch.launch(study)
        launching = time.perf_counter() - begin
        with recorder(Path(folder)) as (process, _):
            wait_for(lambda: telemetry.recorded_until(redis, telemetry.last_event(redis)), 120.0)
            queued = int(redis.info("memory")["used_memory"])
            samples, ended = Samples(), threading.Event()
            watcher = threading.Thread(target=sample, args=(broker.client(config), samples, ended))
            parts = [min(PER_PROCESS, count - first) for first in range(0, count, PER_PROCESS)]
            groups = [_workers(part, kind.rate) for part in parts]
            launched = _events(redis)
            wait_for(lambda: len(telemetry.workers(redis)) == count, 120.0)
            wait_for(lambda: _events(redis) > launched, 120.0)
            usage = psutil.Process(process.pid)
            before, begin = sum(usage.cpu_times()[:2]), time.perf_counter()
            rows, events = rows_of(config), _events(redis)
            watcher.start()
            time.sleep(seconds)
            wall = time.perf_counter() - begin
            cpu = sum(usage.cpu_times()[:2]) - before
            recorded, added = rows_of(config), _events(redis) - events
            at_end = int(redis.xlen(telemetry.EVENTS))
            for group in groups:
                group.terminate()
            reports = [json.loads(group.communicate(timeout=120)[0].splitlines()[-1]) for group in groups]
            begin = time.perf_counter()
            wait_for(lambda: redis.xlen(telemetry.EVENTS) == 0, 300.0)
            drained = time.perf_counter() - begin
            ended.set()
            watcher.join()
        return {
            "kind": kind.name,
            "workers": count,
            "seconds": round(wall, 1),
            "epochs_per_worker_second": kind.rate,
            **_counted(reports, config, redis, list(planned.stages)),
            "epoch_rows_per_second": round((recorded["epochs"] - rows["epochs"]) / wall),
            "overlap_rows_per_second": round((recorded["overlap_counts"] - rows["overlap_counts"]) / wall),
            "events_per_second": round(added / wall, 1),
            "backlog_max": max(samples.backlog, default=0),
            "backlog_at_end": at_end,
            "drain_seconds": round(drained, 2),
            "recorder_cpu": round(cpu / wall, 3),
            "redis_memory_peak_mb": round(max(samples.memory, default=0) / 1e6, 1),
            "redis_mb_per_1000_stages": round((queued - empty) / 1e3 / len(planned.stages), 2),
            "stages_queued": len(planned.stages),
            "launch_seconds": round(launching, 2),
        }


def _seeds(kind: Kind, count: int, seconds: float) -> int:
    """Return the number of seeds that keeps the workers busy; each seed begins with 5 dense trainings."""
    stages = count * kind.rate / kind.study["recipe"]["epochs"] * seconds
    return max(2, math.ceil(count / 5), math.ceil(1.2 * stages / PER_SEED))


def _workers(count: int, rate: float) -> "subprocess.Popen[str]":
    command = python("-m", "benchmarks.simulated_workers", "--workers", str(count), "--rate", str(rate))
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def rows_of(config: Settings) -> dict[str, int]:
    """Return the number of rows of the tables that a recorder fills."""
    with Database(config.database).reading() as connection:
        return {
            table: int((connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,))[0])
            for table in ("epochs", "results", "overlap_counts")
        }


def _events(redis: Redis) -> int:
    """Return the number of events ever added to the stream, including those already recorded and removed."""
    stats: Any = redis.info("commandstats")
    return int(stats.get("cmdstat_xadd", {}).get("calls", 0))


def _counted(reports: list[dict[str, Any]], config: Settings, redis: Redis, stages: list[str]) -> dict[str, Any]:
    """Return what the workers have done by their own reports, and how the database differs."""
    begun: Counter[str] = Counter()
    for report in reports:
        begun.update(report["begun"])
    waits = sorted(wait for report in reports for wait in report["waits"])
    rows = rows_of(config)
    done = sum(state == "done" for state in leases.states(redis, stages).values())
    published = {name: sum(report[name] for report in reports) for name in ("finished", "epochs", "results", "lost")}
    return {
        "stages_finished": published["finished"],
        "dispatch_ms_median": round(1000 * statistics.median(waits), 1) if waits else None,
        "dispatch_ms_p99": round(1000 * waits[int(0.99 * (len(waits) - 1))], 1) if waits else None,
        "dispatch_ms_worst": round(1000 * waits[-1], 1) if waits else None,
        "leases_lost": published["lost"],
        "stages_begun_twice": sum(times > 1 for times in begun.values()),
        # Epochs of released stages count too, though no result contains them.
        "epochs_missing": published["epochs"] - rows["epochs"],
        "overlap_rows_missing": published["results"] - rows["overlap_counts"],
        "results_missing": done - rows["results"],
    }


COLUMNS = {
    "kind": "kind",
    "workers": "workers",
    "events_per_second": "events/s",
    "epoch_rows_per_second": "epoch rows/s",
    "overlap_rows_per_second": "overlap rows/s",
    "backlog_max": "backlog, most",
    "backlog_at_end": "at the end",
    "drain_seconds": "drained in s",
    "recorder_cpu": "recorder, cores",
    "redis_memory_peak_mb": "Redis MB",
    "dispatch_ms_median": "dispatch ms, median",
    "dispatch_ms_p99": "p99",
    "stages_finished": "stages",
    "leases_lost": "leases lost",
    "stages_begun_twice": "begun twice",
    "epochs_missing": "rows missing",
}


def table(measured: list[dict[str, Any]]) -> Table:
    """Return rates, backlog, waits and faults as a table."""
    rows = ({title: row[name] for name, title in COLUMNS.items()} for row in measured)
    return results_io.table("simulated workers, and how their events are recorded", rows, left=("kind",))


def main() -> int:
    """Measure, show it, and write it to the file of --json; return 1 if there is one of FAULTS."""
    arguments = _arguments()
    begin = time.perf_counter()
    cases = [(kind, count) for kind in KINDS if arguments.kind in (None, kind) for count in arguments.workers]
    measured = [measure(KINDS[kind], count, arguments.seconds) for kind, count in results_io.progress(cases)]
    results_io.show(table(measured))
    results_io.write("workers", arguments, {"seconds": round(time.perf_counter() - begin), "measured": measured})
    return int(any(row[name] for row in measured for name in FAULTS))


def _arguments() -> argparse.Namespace:
    parser = options.parser("workers", __doc__)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 10, 50], help="number of workers (default 1 10 50)"
    )
    parser.add_argument("--seconds", type=float, default=40.0, help="duration of each measurement (default 40)")
    parser.add_argument("--kind", choices=list(KINDS), help="only this kind of training")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
