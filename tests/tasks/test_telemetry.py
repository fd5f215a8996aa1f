"""What is live, and the stream of events."""

from datetime import UTC, datetime

from redis import Redis

from tasks import leases, telemetry
from tasks.telemetry import Progress, Worker
from tests.tasks.test_leases import LEASE, claim, register, tiny_plan


def test_progress_is_that_of_running_stages_only(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    shown = Progress(3, 10, 0.5, 91.0, 2.5, "w1", 1.0)
    fields = {name: getattr(shown, name) for name in shown.__dataclass_fields__}
    leases.show_progress(redis, message, fields, 60)
    assert telemetry.progress(redis=redis) == {message.fingerprint: shown}
    assert telemetry.progress(["another"], redis) == {}
    leases.renew(redis, message, LEASE)
    leases.release(redis, message)
    assert telemetry.progress(redis=redis) == {}


def test_workers_are_those_that_live(redis: Redis) -> None:
    now = datetime.now(UTC)
    first = Worker("h:1", "h", "cpu", 1, None, now, now)
    second = Worker("h:2", "h", "cuda:0", 2, "f" * 32, now, now)
    telemetry.beat(redis, second)
    telemetry.beat(redis, first)
    assert telemetry.workers(redis) == [first, second]
    # What the clock of Redis does to one that is not heard of any more.
    redis.pexpire("ticketscope:worker:h:2", 1)
    while redis.exists("ticketscope:worker:h:2"):
        continue
    assert telemetry.workers(redis) == [first]
    telemetry.leave(redis, "h:1")
    assert telemetry.workers(redis) == []


def test_a_change_is_timed_by_the_clock_of_redis(redis: Redis) -> None:
    register(redis, tiny_plan())
    identifier, fields = next(entry for entry in redis.xrange(telemetry.EVENTS) if entry[1]["kind"] == "stage")
    event = telemetry.read_event(identifier, fields)
    at = datetime.fromisoformat(event.body["at"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 10
    assert at.timestamp() * 1000 == int(identifier.split("-")[0])


def test_recorded_is_what_is_no_longer_in_the_stream(redis: Redis) -> None:
    assert telemetry.last_event(redis) == "0-0"
    register(redis, tiny_plan())
    last = telemetry.last_event(redis)
    assert not telemetry.recorded_until(redis, last)
    redis.xtrim(telemetry.EVENTS, maxlen=0, approximate=False)
    assert telemetry.recorded_until(redis, last)
