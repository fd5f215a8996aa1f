"""What is live: the progress of running stages, the workers, and the stream of events on its way to the recorder."""

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from data.events import Event
from tasks.broker import connect, errors_explained
from tasks.leases import PREFIX

EVENTS = PREFIX + "events"
WORKERS = PREFIX + "workers"

# A worker that has not been heard of for so long is gone; so is the progress that it showed.
FORGET_SECONDS = 30


@dataclass(frozen=True)
class Progress:
    """How far a running stage is; accuracies are percent, updated is seconds since 1970."""

    epoch: int
    epochs: int
    train_loss: float
    test_accuracy: float
    epochs_per_second: float
    worker: str
    updated: float


@dataclass(frozen=True)
class Worker:
    """A live worker process; stage is the fingerprint that it trains, None when idle; since and seen are UTC."""

    name: str
    host: str
    device: str
    pid: int
    stage: str | None
    since: datetime
    seen: datetime


def progress(fingerprints: Iterable[str] | None = None, redis: Redis | None = None) -> dict[str, Progress]:
    """Return the progress of those of the given stages that are running, or of all; BrokerError without Redis."""
    redis = redis or connect()
    with errors_explained():
        running = [str(member) for member in redis.zrange(f"{PREFIX}leases", 0, -1)]
        if fingerprints is not None:
            asked = set(fingerprints)
            running = [fingerprint for fingerprint in running if fingerprint in asked]
        pipeline = redis.pipeline(transaction=False)
        for fingerprint in running:
            pipeline.hgetall(f"{PREFIX}progress:{fingerprint}")
        found = zip(running, pipeline.execute(), strict=True)
    return {fingerprint: _progress(fields) for fingerprint, fields in found if fields}


def _progress(fields: Mapping[str, str]) -> Progress:
    return Progress(
        epoch=int(fields["epoch"]),
        epochs=int(fields["epochs"]),
        train_loss=float(fields["train_loss"]),
        test_accuracy=float(fields["test_accuracy"]),
        epochs_per_second=float(fields["epochs_per_second"]),
        worker=fields["worker"],
        updated=float(fields["updated"]),
    )


def beat(redis: Redis, worker: Worker) -> None:
    """Tell that a worker lives, for `FORGET_SECONDS`."""
    fields = {
        "name": worker.name,
        "host": worker.host,
        "device": worker.device,
        "pid": worker.pid,
        "stage": worker.stage or "",
        "since": worker.since.isoformat(),
        "seen": worker.seen.isoformat(),
    }
    pipeline = redis.pipeline()
    pipeline.set(_key(worker.name), json.dumps(fields), ex=FORGET_SECONDS)
    pipeline.sadd(WORKERS, worker.name)
    pipeline.execute()


def leave(redis: Redis, name: str) -> None:
    """Tell that a worker has gone."""
    redis.delete(_key(name))
    redis.srem(WORKERS, name)


def workers(redis: Redis | None = None) -> list[Worker]:
    """Return the live workers by name; BrokerError without Redis."""
    redis = redis or connect()
    with errors_explained():
        names = sorted(str(name) for name in redis.smembers(WORKERS))
        texts = redis.mget([_key(name) for name in names]) if names else []
        known = dict(zip(names, texts, strict=True))
        gone = [name for name, text in known.items() if text is None]
        if gone:
            redis.srem(WORKERS, *gone)
    return [_worker(json.loads(text)) for text in known.values() if text is not None]


def worker_name(pid: int) -> str:
    """Return the name of the worker process with that id on this host."""
    return f"{socket.gethostname()}:{pid}"


def _key(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def _worker(fields: Mapping[str, Any]) -> Worker:
    return Worker(
        name=fields["name"],
        host=fields["host"],
        device=fields["device"],
        pid=int(fields["pid"]),
        stage=fields["stage"] or None,
        since=datetime.fromisoformat(fields["since"]),
        seen=datetime.fromisoformat(fields["seen"]),
    )


def publish(redis: Redis, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Add events, each a kind and a body, to the stream that the recorder drains."""
    pipeline = redis.pipeline(transaction=False)
    for kind, body in events:
        pipeline.xadd(EVENTS, {"kind": kind, "body": json.dumps(body, allow_nan=False)})
    pipeline.execute()


def read_event(identifier: str, fields: Mapping[str, str]) -> Event:
    """Return an entry of the stream as the store takes it; the clock of Redis, in the id, times a stage's changes.

    ValueError or KeyError where it is none.
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
    """Return the id of the newest event ever added, "0-0" where there was none."""
    return str(redis.xinfo_stream(EVENTS)["last-generated-id"]) if redis.exists(EVENTS) else "0-0"


def recorded_until(redis: Redis, identifier: str) -> bool:
    """Return whether the recorder is done with an event and all before it: it trims the stream behind itself."""
    oldest = redis.xrange(EVENTS, count=1)
    return not oldest or _order(str(oldest[0][0])) > _order(identifier)


def _order(identifier: str) -> tuple[int, ...]:
    return tuple(int(part) for part in identifier.split("-"))
