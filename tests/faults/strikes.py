"""The faults that strike a running study, each with how to tell that it is over."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from data.queries.studies import stages as recorded_stages
from engine.stages.runner import SAVED
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Message
from tests.faults.world import SHORT_LEASE, SmallDisk, World


@dataclass(frozen=True)
class Strike:
    """A fault that has struck: what was hit, and how many seconds later work went on as before."""

    kind: str
    hit: str
    seconds: float


@dataclass(frozen=True)
class Target:
    """What the faults strike at: a study that runs."""

    world: World
    study_id: str
    disk: SmallDisk
    draw: random.Random
    # How long Redis is out of reach, in seconds.
    outage: float


def kill_worker(at: Target) -> Strike:
    """A worker process in the midst of a stage."""
    fingerprint, attempt, pid = _some_running(at)
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    return Strike("worker killed", f"process {pid}", _resumed(at, fingerprint, attempt, begin))


def kill_worker_main(at: Target) -> Strike:
    """The process that keeps workers alive; they die with it, and it is started again from outside."""
    begin = time.time()
    at.world.crew.kill()
    at.world.crew.wait()
    name = _wait_for_new_worker(at, "--lease", str(SHORT_LEASE), since=begin)
    # Without the host, whose name is nobody's business.
    return Strike("worker's main process killed", f"process {name.rpartition(':')[2]}", time.time() - begin)


def kill_recorder(at: Target) -> Strike:
    """The recorder, at any moment."""
    return _kill_recorder(at, "recorder killed", lambda pid: None)


def kill_recorder_in_insert(at: Target) -> Strike:
    """The recorder while it holds the database to write."""

    def writes(pid: int) -> None:
        lock = Path(f"{at.world.database.path}.lock").stat().st_ino
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            for line in Path("/proc/locks").read_text().splitlines():
                parts = line.split()
                if "WRITE" in parts and str(pid) in parts and any(part.endswith(f":{lock}") for part in parts):
                    time.sleep(at.draw.uniform(0, 0.01))
                    return

    return _kill_recorder(at, "recorder killed in an insert", writes)


def kill_redis(at: Target) -> Strike:
    """Redis."""
    pid = at.world.redis_pid()
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    at.world.wait(lambda: at.world.redis_pid() != pid and at.world.progressed(begin + 0.5))
    return Strike("Redis killed", f"process {pid}", time.time() - begin)


def kill_dashboard(at: Target) -> Strike:
    """The dashboard."""
    [process] = at.world.processes("streamlit", "serve.py")[:1]
    begin = time.time()
    process.kill()
    process.wait()
    at.world.wait(at.world.healthy)
    return Strike("dashboard killed", f"process {process.pid}", time.time() - begin)


def kill_supervisor(at: Target) -> Strike:
    """`up` itself; all it has started dies with it, and it is started again from outside."""
    begin = time.time()
    pid = at.world.up.pid
    at.world.up.kill()
    at.world.up.wait()
    _wait_for_new_worker(at, "--lease", "20.0", since=begin)
    return Strike("supervisor killed", f"process {pid}", time.time() - begin)


def reboot(at: Target) -> Strike:
    """Everything at once, as when the machine loses power, and then both commands again."""
    begin = time.time()
    held = at.world.running()
    parents = [at.world.up.pid, at.world.crew.pid, at.world.redis_pid()]
    everything = [*(psutil.Process(pid) for pid in parents), *at.world.processes()]
    for process in everything:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    at.world.up.wait()
    at.world.crew.wait()
    for fingerprint, (attempt, _, _) in held.items():
        _resumed(at, fingerprint, attempt, begin)
    return Strike("everything killed", f"{len(everything)} processes", time.time() - begin)


def sleep_through_lease(at: Target) -> Strike:
    """A worker stopped for longer than its lease, and woken again: it finds its stage taken."""
    held = [
        (fingerprint, attempt, pid)
        for fingerprint, (attempt, _, pid) in at.world.running().items()
        if str(SHORT_LEASE) in psutil.Process(pid).cmdline()
    ]
    if not held:
        return kill_worker(at)
    fingerprint, attempt, pid = at.draw.choice(held)
    os.kill(pid, signal.SIGSTOP)
    begin = time.time()
    try:
        at.world.wait(lambda: at.world.attempt(fingerprint)[0] > attempt)
    finally:
        os.kill(pid, signal.SIGCONT)
    return Strike("worker asleep beyond its lease", f"process {pid}", _resumed(at, fingerprint, attempt, begin))


def double_messages(at: Target) -> Strike:
    """Messages twice, in another order, and out of date; events given to the recorder once more."""
    begin = time.time()
    redis = at.world.redis
    doubled = 0
    pipeline = redis.pipeline()
    for name in leases.LISTS:
        again = 2 * redis.lrange(name, 0, -1)
        at.draw.shuffle(again)
        pipeline.delete(name)
        if again:
            pipeline.rpush(name, *again)
        doubled += len(again)
    # All that the stream still holds comes again, whether recorded or not.
    pipeline.xgroup_setid(telemetry.EVENTS, "recorder", "0")
    pipeline.execute()
    members = at.draw.sample(sorted(leases.members(redis, at.study_id)), 10)
    stale = [Message(member, max(1, at.world.attempt(member)[0] - at.draw.choice([0, 0, 1]))) for member in members]
    celery_app.send(stale, celery_app.make_app(at.world.config))
    at.world.wait(lambda: at.world.progressed(begin + 0.5))
    return Strike("messages doubled and shuffled", f"{doubled + len(stale)} messages", time.time() - begin)


def hang_redis(at: Target) -> Strike:
    """Redis out of reach for a while: it takes connections and answers nothing."""
    pid = at.world.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(at.outage)
    begin = time.time()
    os.kill(pid, signal.SIGCONT)
    at.world.wait(lambda: at.world.progressed(begin))
    return Strike("Redis out of reach", f"for {at.outage:g} s", time.time() - begin)


def cut_checkpoint(at: Target) -> Strike:
    """A checkpoint cut short, and the worker killed that would have written the next."""
    artifacts = Path(at.world.config.artifacts)
    # A stage has none before its first five seconds are over.
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        at.world.tend()
        for fingerprint, (attempt, _, pid) in at.world.running().items():
            checkpoint = artifacts / "weights" / fingerprint / "checkpoint.safetensors"
            if checkpoint.exists():
                begin = time.time()
                os.kill(pid, signal.SIGKILL)
                os.truncate(checkpoint, at.draw.randrange(checkpoint.stat().st_size))
                return Strike("checkpoint cut short", fingerprint[:8], _resumed(at, fingerprint, attempt, begin))
        time.sleep(0.02)
    return cut_weights(at)


def cut_weights(at: Target) -> Strike:
    """Weights cut short that stages still to come are made from."""
    rows = recorded_stages(at.world.database, at.study_id)
    open_parents = set(rows[~rows["state"].isin(["done"])]["parent"].dropna())
    done = rows[(rows["state"] == "done") & rows["fingerprint"].isin(open_parents)]
    begin = time.time()
    if done.empty:
        return kill_worker(at)
    stage = done.iloc[at.draw.randrange(len(done))]
    name = at.draw.choice(SAVED[stage["kind"]])
    path = Path(at.world.config.artifacts, "weights", stage["fingerprint"], f"{name}.safetensors")
    os.truncate(path, at.draw.randrange(path.stat().st_size))
    at.world.wait(lambda: at.world.progressed(begin + 0.5))
    return Strike("weights cut short", f"{name} of {stage['fingerprint'][:8]}", time.time() - begin)


def fill_disk(at: Target) -> Strike:
    """A full disk under the artifacts, until a worker waits for it."""
    ballast = at.disk.fill()
    time.sleep(8.0)
    begin = time.time()
    ballast.unlink()
    at.world.wait(lambda: at.world.progressed(begin))
    return Strike("disk full", "for 8 s", time.time() - begin)


STRIKES: dict[str, Callable[[Target], Strike]] = {
    strike.__name__: strike
    for strike in (
        *(kill_worker, kill_worker_main, kill_recorder, kill_recorder_in_insert, kill_redis, kill_dashboard),
        *(kill_supervisor, reboot, sleep_through_lease, double_messages, cut_checkpoint, cut_weights, fill_disk),
        hang_redis,
    )
}
# One of each lasts a minute or so.
SELDOM = ("hang_redis",)


def _some_running(at: Target) -> tuple[str, int, int]:
    found: dict[str, tuple[int, str, int]] = {}

    def any_running() -> bool:
        found.update({key: held for key, held in at.world.running().items() if psutil.pid_exists(held[2])})
        return bool(found)

    at.world.wait(any_running)
    fingerprint = at.draw.choice(sorted(found))
    attempt, _, pid = found[fingerprint]
    return fingerprint, attempt, pid


def _resumed(at: Target, fingerprint: str, attempt: int, begin: float) -> float:
    """Wait until a stage is taken up by somebody else; returns the seconds since a moment.

    It is trained on or done, or waits for weights that an earlier fault has cut short and that are trained again.
    """

    def on() -> bool:
        now, state = at.world.attempt(fingerprint)
        if state in ("done", "waiting"):
            return True
        live = telemetry.progress([fingerprint], at.world.redis)
        return now > attempt and any(progress.updated > begin for progress in live.values())

    at.world.wait(on)
    return time.time() - begin


def _wait_for_new_worker(at: Target, *words: str, since: float) -> str:
    """Wait until a worker process of that command line, started after a moment, has trained an epoch."""
    name = ""

    def trains() -> bool:
        nonlocal name
        fresh = {p.pid for p in at.world.processes("tasks.worker", *words) if p.create_time() >= since - 1.0}
        live = telemetry.progress(redis=at.world.redis).values()
        training = [p.worker for p in live if p.updated > since and int(p.worker.rpartition(":")[2]) in fresh]
        name = training[0] if training else ""
        return bool(training)

    at.world.wait(trains)
    return name


def _kill_recorder(at: Target, kind: str, choose: Callable[[int], None]) -> Strike:
    [process] = at.world.processes("tasks", "recorder")[:1]
    choose(process.pid)
    begin = time.time()
    process.kill()
    process.wait()
    last = telemetry.last_event(at.world.redis)

    def drained() -> bool:
        fresh = [p for p in at.world.processes("tasks", "recorder") if p.pid != process.pid]
        return bool(fresh) and telemetry.recorded_until(at.world.redis, last)

    at.world.wait(drained)
    return Strike(kind, f"process {process.pid}", time.time() - begin)
