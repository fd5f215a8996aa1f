"""Faults for a running study: each function injects one and waits until work continues."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.study.plan import Stage
from tasks.process import python, spawn
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Message
from tasks.studies.launch import launched_stages
from tests.faults.world import SHORT_LEASE, SmallDisk, World


@dataclass(frozen=True)
class Strike:
    """A fault that was injected: hit: its target; seconds: the time until work continued."""

    kind: str
    hit: str
    seconds: float


@dataclass(frozen=True)
class Target:
    """A running study; outage: for how many seconds Redis is out of reach; disk, home: of artifact store and home."""

    world: World
    study_id: str
    disk: SmallDisk
    home: SmallDisk
    draw: random.Random
    outage: float


def kill_worker(at: Target) -> Strike:
    """Kill a worker process during a stage."""
    fingerprint, attempt, pid = _some_running(at)
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    return Strike("worker killed", f"process {pid}", _resumed(at, fingerprint, attempt, begin))


def kill_worker_main(at: Target) -> Strike:
    """Kill the supervisor of the separate worker; the worker dies too, and `World.tend` starts both again."""
    begin = time.time()
    at.world.crew.kill()
    at.world.crew.wait()
    name = _wait_for_new_worker(at, "--lease", str(SHORT_LEASE), since=begin)
    # The published outcome leaves out the name of the host.
    return Strike("worker's main process killed", f"process {name.rpartition(':')[2]}", time.time() - begin)


def kill_recorder(at: Target) -> Strike:
    """Kill the recorder at any moment."""
    return _kill_recorder(at, "recorder killed", lambda pid: None)


def kill_recorder_in_insert(at: Target) -> Strike:
    """Kill the recorder while it writes to the database."""

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
    """Kill Redis."""
    pid = at.world.redis_pid()
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    at.world.wait(lambda: at.world.redis_pid() != pid and at.world.progressed(begin + 0.5))
    return Strike("Redis killed", f"process {pid}", time.time() - begin)


def kill_dashboard(at: Target) -> Strike:
    """Kill the dashboard."""
    [process] = at.world.processes("streamlit", "serve.py")[:1]
    begin = time.time()
    process.kill()
    process.wait()
    at.world.wait(at.world.healthy)
    return Strike("dashboard killed", f"process {process.pid}", time.time() - begin)


def kill_supervisor(at: Target) -> Strike:
    """Kill `up`; its processes die too, and `World.tend` starts it again."""
    begin = time.time()
    pid = at.world.up.pid
    at.world.up.kill()
    at.world.up.wait()
    _wait_for_new_worker(at, "--lease", "20.0", since=begin)
    return Strike("supervisor killed", f"process {pid}", time.time() - begin)


def reboot(at: Target) -> Strike:
    """Kill everything at once, as a power cut does; `World.tend` starts both commands again."""
    begin = time.time()
    running = at.world.running()
    parents = [at.world.up.pid, at.world.crew.pid, at.world.redis_pid()]
    everything = [*(psutil.Process(pid) for pid in parents), *at.world.processes()]
    for process in everything:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    at.world.up.wait()
    at.world.crew.wait()
    for fingerprint, (attempt, _, _) in running.items():
        _resumed(at, fingerprint, attempt, begin)
    return Strike("everything killed", f"{len(everything)} processes", time.time() - begin)


def sleep_through_lease(at: Target) -> Strike:
    """Suspend a worker until its lease has expired and another has its stage, and resume it."""
    running = [
        (fingerprint, attempt, pid)
        for fingerprint, (attempt, _, pid) in at.world.running().items()
        if str(SHORT_LEASE) in psutil.Process(pid).cmdline()
    ]
    if not running:
        return kill_worker(at)
    fingerprint, attempt, pid = at.draw.choice(running)
    os.kill(pid, signal.SIGSTOP)
    begin = time.time()
    try:
        at.world.wait(lambda: at.world.attempt(fingerprint)[0] > attempt)
    finally:
        os.kill(pid, signal.SIGCONT)
    return Strike("worker asleep beyond its lease", f"process {pid}", _resumed(at, fingerprint, attempt, begin))


def double_messages(at: Target) -> Strike:
    """Double and shuffle the messages, send outdated ones, and deliver all events of the stream again."""
    begin = time.time()
    redis = at.world.redis
    doubled = 0
    pipeline = redis.pipeline()
    for name in leases.LISTS:
        messages = 2 * redis.lrange(name, 0, -1)
        at.draw.shuffle(messages)
        pipeline.delete(name)
        if messages:
            pipeline.rpush(name, *messages)
        doubled += len(messages)
    # The recorder reads all events of the stream again, including recorded ones.
    pipeline.xgroup_setid(telemetry.EVENTS, "recorder", "0")
    pipeline.execute()
    members = at.draw.sample(sorted(leases.members(redis, at.study_id)), 10)
    stale = [Message(member, max(1, at.world.attempt(member)[0] - at.draw.choice([0, 0, 1]))) for member in members]
    celery_app.send(stale, celery_app.make_app(at.world.config))
    at.world.wait(lambda: at.world.progressed(begin + 0.5))
    return Strike("messages doubled and shuffled", f"{doubled + len(stale)} messages", time.time() - begin)


def hang_redis(at: Target) -> Strike:
    """Suspend Redis for a while: it accepts connections and does not answer."""
    pid = at.world.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(at.outage)
    begin = time.time()
    os.kill(pid, signal.SIGCONT)
    at.world.wait(lambda: at.world.progressed(begin))
    return Strike("Redis out of reach", f"for {at.outage:g} s", time.time() - begin)


def cut_checkpoint(at: Target) -> Strike:
    """Truncate a checkpoint, and kill the worker before it writes the next."""
    artifacts = Path(at.world.config.artifacts)
    # A stage writes its first checkpoint after five seconds.
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
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
    """Truncate weights of a finished stage that a stage will read which has not begun."""
    begin = time.time()
    stages = launched_stages(leases.launched(at.world.redis, at.study_id) or {"stages": []})
    states = leases.states(at.world.redis, list(stages))
    to_begin = [stage for key, stage in stages.items() if states[key] in ("waiting", "queued") and stage.parent]
    needed = sorted({file for stage in to_begin for file in _read_by(stage) if states[file[0]] == "done"})
    if not needed:
        return kill_worker(at)
    fingerprint, name = at.draw.choice(needed)
    path = Path(at.world.config.artifacts, "weights", fingerprint, f"{name}.safetensors")
    os.truncate(path, at.draw.randrange(path.stat().st_size))
    at.world.wait(lambda: at.world.progressed(begin + 0.5))
    return Strike("weights cut short", f"{name} of {fingerprint[:8]}", time.time() - begin)


def _read_by(stage: Stage) -> list[tuple[str, str]]:
    """Return the stages and names of the weights that a retraining reads when it begins."""
    parent, root = str(stage.parent), str(stage.root)
    by_start = {"winning_ticket": "initial", "rewind": "rewind", "finetune": "trained"}.get(str(stage.start))
    within = [(parent, "mask")] if len(stage.rounds) > 1 else []
    return [(parent, "trained"), *within, *([(root, by_start)] if by_start else [])]


def fill_disk(at: Target) -> Strike:
    """Fill the disk of the artifact store for 8 seconds."""
    return _filled(at, at.disk, "disk full")


def fill_home(at: Target) -> Strike:
    """Fill the disk of the home, with Redis, the database and all logs, for 8 seconds."""
    return _filled(at, at.home, "disk of the home full")


def _filled(at: Target, disk: SmallDisk, kind: str) -> Strike:
    ballast = disk.fill()
    time.sleep(8.0)
    begin = time.time()
    ballast.unlink()
    at.world.wait(lambda: at.world.progressed(begin))
    return Strike(kind, "for 8 s", time.time() - begin)


def stop_holder(at: Target) -> Strike:
    """Stop a process that reads the database, as Ctrl-Z stops a backup, for 12 seconds."""
    hold = (
        "import os, signal, sys; from pathlib import Path; from data.database.database import Database\n"
        "with Database(Path(sys.argv[1])).at_rest(): os.kill(os.getpid(), signal.SIGSTOP)"
    )
    process = spawn(python("-c", hold, str(at.world.config.database)), at.world.logs / "holder.log")
    time.sleep(12.0)
    begin = time.time()
    process.kill()
    process.wait()
    assert telemetry.wait_until_recorded(at.world.redis, 60.0)
    return Strike("holder of the database stopped", "for 12 s", time.time() - begin)


STRIKES: dict[str, Callable[[Target], Strike]] = {
    strike.__name__: strike
    for strike in (
        *(kill_worker, kill_worker_main, kill_recorder, kill_recorder_in_insert, kill_redis, kill_dashboard),
        *(kill_supervisor, reboot, sleep_through_lease, double_messages, cut_checkpoint, cut_weights, fill_disk),
        *(fill_home, stop_holder, hang_redis),
    )
}
# These last about a minute each, so they are injected once only.
SELDOM = ("hang_redis",)


def _some_running(at: Target) -> tuple[str, int, int]:
    running: dict[str, tuple[int, str, int]] = {}

    def any_running() -> bool:
        running.update({key: lease for key, lease in at.world.running().items() if psutil.pid_exists(lease[2])})
        return bool(running)

    at.world.wait(any_running)
    fingerprint = at.draw.choice(sorted(running))
    attempt, _, pid = running[fingerprint]
    return fingerprint, attempt, pid


def _resumed(at: Target, fingerprint: str, attempt: int, begin: float) -> float:
    """Wait until another worker continues a stage, and return the seconds since `begin`.

    The stage then trains or is done, or waits for weights that an earlier fault truncated and that are trained again.
    """

    def resumed() -> bool:
        current, state = at.world.attempt(fingerprint)
        if state in ("done", "waiting"):
            return True
        live = telemetry.progress([fingerprint], at.world.redis)
        return current > attempt and any(progress.updated > begin for progress in live.values())

    at.world.wait(resumed)
    return time.time() - begin


def _wait_for_new_worker(at: Target, *words: str, since: float) -> str:
    """Wait until a worker whose command line contains the words, started after `since`, has trained an epoch."""
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
