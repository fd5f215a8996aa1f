"""Live workers and progress, and the stream of events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from tasks.queue import celery_app, leases, telemetry
from tasks.queue.telemetry import LiveProgress, Memory, Worker
from tests.tasks.queue.test_leases import LEASE, claim, register, tiny_plan


def test_only_running_stages_have_progress(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    progress = LiveProgress(3, 10, 0.5, 91.0, 2.5, "w1", 1.0)
    fields = {name: getattr(progress, name) for name in progress.__dataclass_fields__}
    leases.show_progress(redis, message, fields, 60)
    assert telemetry.progress(redis=redis) == {message.fingerprint: progress}
    assert telemetry.progress(["another"], redis) == {}
    leases.renew(redis, message, LEASE)
    leases.release(redis, message)
    assert telemetry.progress(redis=redis) == {}


NOW = datetime.now(UTC)


def worker(name: str, **changes: object) -> Worker:
    values = {"host": "h", "device": "cpu", "pid": int(name.split(":")[-1]), "stage": None, "since": NOW, "seen": NOW}
    return Worker(name, **{**values, **changes})


def age(redis: Redis, name: str, seconds: float) -> None:
    """Make the last heartbeat of a worker some seconds old."""
    redis.pexpire(f"ticketscope:worker:{name}", round((telemetry.FORGET_SECONDS - seconds) * 1000))


def test_workers_are_read_as_they_were_written(redis: Redis) -> None:
    second = worker(
        "h:2",
        device="cuda:0",
        stage="f" * 32,
        started=NOW - timedelta(hours=1),
        boot="b",
        heartbeat=2.0,
        draining=True,
        trouble="cannot write",
        stages=3,
        epochs=70,
        gpu="A GPU",
        memory=Memory(1, 3, 2, 4, 5),
    )
    first = worker("h:1")
    telemetry.beat(redis, second)
    telemetry.beat(redis, first)
    workers = telemetry.workers(redis)
    assert all(abs(live.silence()) < 5 for live in workers)
    assert [replace(live, seen=NOW, since=NOW) for live in workers] == [first, second]
    assert [live.state for live in workers] == ["idle", "draining"]


def test_a_silent_worker_is_listed_until_it_is_forgotten(redis: Redis) -> None:
    telemetry.beat(redis, worker("h:1", heartbeat=5.0))
    telemetry.beat(redis, worker("h:2", heartbeat=5.0))
    age(redis, "h:1", 14)
    age(redis, "h:2", 16)
    assert [live.name for live in telemetry.workers(redis)] == ["h:1"]
    first, second = telemetry.known_workers(redis)
    assert (first.is_silent(), second.is_silent()) == (False, True)
    assert 16 <= second.silence() < 20
    # Redis forgets a worker whose entry expires.
    age(redis, "h:2", telemetry.FORGET_SECONDS - 0.001)
    while redis.exists("ticketscope:worker:h:2"):
        continue
    assert [known.name for known in telemetry.known_workers(redis)] == ["h:1"]
    assert redis.zrange(telemetry.WORKERS, 0, -1) == ["h:1"]
    telemetry.leave(redis, "h:1")
    assert telemetry.known_workers(redis) == []


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_wrong_clock_of_a_host_changes_no_time_of_its_worker(redis: Redis, hours: int) -> None:
    clock = datetime.now(UTC) + timedelta(hours=hours)
    telemetry.beat(redis, worker("h:1", since=clock - timedelta(seconds=90), seen=clock))
    [live] = telemetry.workers(redis)
    assert 90 <= (datetime.now(UTC) - live.since).total_seconds() < 100


def test_queued_messages_are_counted(redis: Redis) -> None:
    assert telemetry.queued(redis) == 0
    celery_app.send(register(redis, tiny_plan()))
    assert telemetry.queued(redis) == 1


def test_events_have_the_time_of_redis(redis: Redis) -> None:
    register(redis, tiny_plan())
    identifier, fields = next(entry for entry in redis.xrange(telemetry.EVENTS) if entry[1]["kind"] == "stage")
    event = telemetry.read_event(identifier, fields)
    at = datetime.fromisoformat(event.body["at"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 10
    assert at.timestamp() * 1000 == int(identifier.split("-")[0])


def test_an_event_is_recorded_once_it_has_left_the_stream(redis: Redis) -> None:
    assert telemetry.last_event(redis) == "0-0"
    register(redis, tiny_plan())
    last = telemetry.last_event(redis)
    assert not telemetry.recorded_until(redis, last)
    redis.xtrim(telemetry.EVENTS, maxlen=0, approximate=False)
    assert telemetry.recorded_until(redis, last)
