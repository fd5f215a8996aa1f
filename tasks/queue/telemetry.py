"""Live state in Redis: the progress of running stages, the workers, and the stream of events for the recorder."""

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from redis import Redis

from data.database.events import Event
from tasks.broker.connection import connect, errors_explained
from tasks.queue.scripts import PREFIX
from tasks.queue.timing import Timing

EVENTS = PREFIX + "events"
# The workers by the service's time of their last heartbeat.
WORKERS = PREFIX + "heartbeats"
CLOCK = PREFIX + "clock"

# A worker that misses more heartbeats than this is silent. Redis forgets it FORGET_SECONDS after its last heartbeat, so
# that a lost host is noticed before.
MISSED_BEATS = 3
FORGET_SECONDS = 3600


@dataclass(frozen=True)
class LiveProgress:
    """The progress of a running stage; test_accuracy is in percent, updated in seconds since 1970."""

    epoch: int
    epochs: int
    train_loss: float
    test_accuracy: float
    epochs_per_second: float
    worker: str
    updated: float


@dataclass(frozen=True)
class Memory:
    """Memory in bytes of a worker's process, its host and its GPU; None if it uses no GPU."""

    resident: int
    total: int
    available: int
    gpu_used: int | None = None
    gpu_total: int | None = None


@dataclass(frozen=True)
class Slow:
    """Stages that a worker trained without CUDA graphs, more slowly than its GPU could.

    why: the reason for the last one. stages: their number since the worker's start. now: the fingerprints of those in
    training.
    """

    why: str
    stages: int = 0
    now: tuple[str, ...] = ()

    def among(self, fingerprints: Collection[str]) -> "Slow":
        """Return this with those of some stages alone as in training."""
        return replace(self, now=tuple(fingerprint for fingerprint in self.now if fingerprint in fingerprints))


@dataclass(frozen=True)
class Worker:
    """A worker process; times are UTC.

    stage: the fingerprint of the stage that it trains, None if idle. beside: those of the stages that it trains side by
    side with it. since: when it took the stage or became idle. seen: time of its last heartbeat. started: start of its
    process. born: see `data.processes.born`. boot: see `tasks.worker.host.boot`. heartbeat: seconds between two
    heartbeats. draining: whether it must stop and finishes its epoch. trouble: what it waits for. stages, epochs:
    numbers finished since its start. gpu: the GPU's name. warning: what is wrong with this worker: a GPU that it cannot
    use, plugins that it cannot load. slow: the stages that it trained without CUDA graphs, if any.
    """

    name: str
    host: str
    device: str
    pid: int
    stage: str | None
    since: datetime
    seen: datetime
    started: datetime | None = None
    born: float | None = None
    boot: str = ""
    heartbeat: float = Timing.heartbeat
    draining: bool = False
    trouble: str | None = None
    stages: int = 0
    epochs: int = 0
    gpu: str | None = None
    memory: Memory | None = None
    beside: tuple[str, ...] = ()
    warning: str = ""
    slow: Slow | None = None

    @property
    def state(self) -> Literal["training", "idle", "draining"]:
        """The state at the last heartbeat."""
        if self.draining:
            return "draining"
        return "idle" if self.stage is None else "training"

    def silence(self, now: datetime | None = None) -> float:
        """Return the seconds since the last heartbeat."""
        return ((now or datetime.now(UTC)) - self.seen).total_seconds()

    def is_silent(self, now: datetime | None = None) -> bool:
        """Return whether it missed more than MISSED_BEATS heartbeats, so that it or its host may be lost."""
        return self.silence(now) > MISSED_BEATS * self.heartbeat


_WORKER, _PROGRESS = TypeAdapter(Worker), TypeAdapter(LiveProgress)


def progress(fingerprints: Iterable[str] | None = None, redis: Redis | None = None) -> dict[str, LiveProgress]:
    """Return the progress of all running stages, or of those in `fingerprints`; BrokerError without Redis."""
    redis = redis or connect()
    with errors_explained():
        running = [str(member) for member in redis.zrange(f"{PREFIX}leases", 0, -1)]
        if fingerprints is not None:
            requested = set(fingerprints)
            running = [fingerprint for fingerprint in running if fingerprint in requested]
        pipeline = redis.pipeline(transaction=False)
        for fingerprint in running:
            pipeline.hgetall(f"{PREFIX}progress:{fingerprint}")
        answers = zip(running, pipeline.execute(), strict=True)
    progresses = ((fingerprint, _progress(fields)) for fingerprint, fields in answers if fields)
    return {fingerprint: live for fingerprint, live in progresses if live is not None}


def _progress(fields: Mapping[str, str]) -> LiveProgress | None:
    """Return the progress that a hash of Redis describes, None if no worker wrote it."""
    try:
        return _PROGRESS.validate_python(fields)
    except ValidationError:
        return None


def beat(redis: Redis, worker: Worker) -> None:
    """Report that a worker lives."""
    moment = redis.get(CLOCK) or 0
    pipeline = redis.pipeline()
    pipeline.set(_key(worker.name), _WORKER.dump_json(worker), ex=FORGET_SECONDS)
    pipeline.zadd(WORKERS, {worker.name: moment})
    pipeline.execute()


def leave(redis: Redis, name: str) -> None:
    """Report that a worker has left."""
    redis.delete(_key(name))
    redis.zrem(WORKERS, name)


def workers(redis: Redis | None = None) -> list[Worker]:
    """Return the live workers in the order of their names; BrokerError without Redis."""
    return [worker for worker in known_workers(redis) if not worker.is_silent()]


def known_workers(redis: Redis | None = None) -> list[Worker]:
    """Return the live and the silent workers in the order of their names; BrokerError without Redis."""
    redis = redis or connect()
    with errors_explained():
        scores: Any = redis.zrange(WORKERS, 0, -1, withscores=True)
        beats = {str(name): float(moment) for name, moment in scores}
        names = sorted(beats)
        clock = float(redis.get(CLOCK) or 0)
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.get(_key(name))
            pipeline.pttl(_key(name))
        answers = pipeline.execute()
        now = datetime.now(UTC)
        reports = dict(zip(names, zip(answers[::2], answers[1::2], strict=True), strict=True))
        expired = [name for name, (text, _) in reports.items() if text is None]
        if expired:
            redis.zrem(WORKERS, *expired)
    workers = []
    for name, (text, expires_in) in reports.items():
        if text is not None:
            # A clock of Redis that is set back hides that a worker is silent, and the service's time is never set back.
            age = max(FORGET_SECONDS - expires_in / 1000, (clock - beats[name]) / 1000, 0.0)
            workers.append(_worker(text, now - timedelta(seconds=age)))
    return [worker for worker in workers if worker is not None]


def queued(redis: Redis | None = None) -> int:
    """Return how many stages wait for a free worker; BrokerError without Redis."""
    redis = redis or connect()
    with errors_explained():
        return int(redis.zcard(f"{PREFIX}queued"))


def _key(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def _worker(text: str, seen: datetime) -> Worker | None:
    """Return a worker from its report, None if no worker wrote it; seen: when it did, by this host's clock."""
    try:
        worker = _WORKER.validate_json(text)
        # The clocks of hosts differ, so those of the worker become times of this host.
        return replace(worker, seen=seen, since=worker.since + (seen - worker.seen))
    except (ValidationError, OverflowError, TypeError):
        return None


def publish(redis: Redis, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Add events, each a kind and a body, to the stream that the recorder drains."""
    pipeline = redis.pipeline(transaction=False)
    for kind, body in events:
        pipeline.xadd(EVENTS, {"kind": kind, "body": json.dumps(body, allow_nan=False)})
    pipeline.execute()


def read_event(identifier: str, fields: Mapping[str, str]) -> Event:
    """Return the event in an entry of the stream; ValueError or KeyError if it is none.

    The time of a stage's change is that of the entry's id, which is by the clock of Redis.
    """
    try:
        body = json.loads(fields["body"])
    except RecursionError:
        raise ValueError("its body is nested too deep") from None
    if not isinstance(body, dict):
        raise ValueError("its body is no table")
    if fields["kind"] == "stage":
        milliseconds = int(identifier.split("-")[0])
        body["at"] = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    return Event(identifier, fields["kind"], body)


def last_event(redis: Redis) -> str:
    """Return the id of the newest event ever added, "0-0" if there was none."""
    return str(redis.xinfo_stream(EVENTS)["last-generated-id"]) if redis.exists(EVENTS) else "0-0"


def recorded_until(redis: Redis, identifier: str) -> bool:
    """Return whether the recorder has recorded an event and all before it, which it removes from the stream then."""
    oldest = redis.xrange(EVENTS, count=1)
    return not oldest or event_order(str(oldest[0][0])) > event_order(identifier)


def wait_until_recorded(redis: Redis, seconds: float) -> bool:
    """Wait up to some seconds until all events so far are recorded, and return whether they are."""
    last, deadline = last_event(redis), time.monotonic() + seconds
    while not recorded_until(redis, last):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def event_order(identifier: str) -> tuple[int, int]:
    """Return the milliseconds and the sequence number in an event's id, by which events are ordered."""
    milliseconds, sequence = identifier.split("-")
    return int(milliseconds), int(sequence)
