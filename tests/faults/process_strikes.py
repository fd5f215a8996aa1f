"""Faults of processes and messages: each function injects one and waits until work continues."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Message
from tests.faults.target import Strike, Target, resumed_after, some_running
from tests.faults.world import SHORT_LEASE


def kill_worker(at: Target) -> Strike:
    """Kill a worker process during a stage."""
    fingerprint, attempt, pid = some_running(at)
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    return Strike("worker killed", f"process {pid}", resumed_after(at, fingerprint, attempt, begin))


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
        resumed_after(at, fingerprint, attempt, begin)
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
    return Strike("worker asleep beyond its lease", f"process {pid}", resumed_after(at, fingerprint, attempt, begin))


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
