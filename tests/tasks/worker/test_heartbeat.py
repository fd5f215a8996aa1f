"""The heartbeat of a worker, over a real Redis."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from redis import Redis

from engine.study.results import Epoch
from tasks.queue import scripts, telemetry
from tasks.queue.telemetry import Slow, Worker
from tasks.queue.timing import Timing
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.observer import LeasedObserver
from tests.machine import wait_for
from tests.tasks.queue.test_leases import claim, register, tiny_plan
from tests.tasks.queue.test_telemetry import age, worker

NAME = "h:1"
# Heartbeats are so rare that the tests only see what is written at once.
RARE = Timing(lease=2000.0, heartbeat=500.0)


def seen(redis: Redis) -> Worker:
    [live] = telemetry.known_workers(redis)
    return live


@pytest.fixture
def heartbeat(redis: Redis) -> Iterator[Heartbeat]:
    beating = Heartbeat(redis, worker(NAME), RARE, gpu=lambda: (1, 2))
    beating.start()
    wait_for(lambda: telemetry.known_workers(redis))
    yield beating
    beating.stop()
    assert telemetry.known_workers(redis) == []


def test_changes_of_a_worker_are_written_at_once(redis: Redis, heartbeat: Heartbeat) -> None:
    assert seen(redis).state == "idle"
    assert seen(redis).heartbeat == RARE.heartbeat
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    heartbeat.hold(message)
    assert (seen(redis).state, seen(redis).stage) == ("training", message.fingerprint)
    heartbeat.trouble("cannot write w: no space left on device")
    assert seen(redis).trouble == "cannot write w: no space left on device"
    heartbeat.trouble(None)
    assert seen(redis).trouble is None
    heartbeat.drain()
    wait_for(lambda: seen(redis).state == "draining")
    heartbeat.trouble("cannot write")
    heartbeat.hold()
    assert (seen(redis).stage, seen(redis).trouble) == (None, None)


def test_stages_that_train_without_graphs_are_counted_and_named(redis: Redis, heartbeat: Heartbeat) -> None:
    messages = register(redis, tiny_plan(seeds=[0, 1]))
    assert all(claim(redis, message) for message in messages)
    heartbeat.hold(*messages)
    assert seen(redis).slow is None
    slow = partial(heartbeat.slow, messages[0].fingerprint)
    observer = LeasedObserver(redis, messages[0], NAME, RARE, threading.Event(), slow=slow)
    observer.without_graphs("operation not permitted when stream is capturing")
    assert seen(redis).slow == Slow("operation not permitted when stream is capturing", 1, (messages[0].fingerprint,))
    heartbeat.hold(messages[1])
    heartbeat.slow(messages[1].fingerprint, "another")
    assert seen(redis).slow == Slow("another", 2, (messages[1].fingerprint,))
    heartbeat.hold()
    assert seen(redis).slow == Slow("another", 2, ())


def test_a_worker_reports_its_epochs_stages_and_memory(redis: Redis, heartbeat: Heartbeat) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    observer = LeasedObserver(redis, message, NAME, RARE, threading.Event(), lambda _: heartbeat.count_epoch())
    for epoch in (1, 2, 3):
        observer.epoch(Epoch(epoch, 0.1, 1.0, 50.0, 1.0, 50.0, 0.01), 3)
    heartbeat.count_stage()
    heartbeat.hold()
    live = seen(redis)
    assert (live.epochs, live.stages) == (3, 1)
    assert live.memory is not None
    assert 0 < live.memory.resident < live.memory.total
    assert (live.memory.gpu_used, live.memory.gpu_total) == (1, 2)


def test_the_speed_of_a_stage_is_that_from_epoch_to_epoch_and_not_its_share(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    observer = LeasedObserver(redis, message, NAME, RARE, threading.Event())
    speeds = []
    for epoch, moment in enumerate((100.0, 108.0, 116.0, 120.0), start=1):
        monkeypatch.setattr("tasks.worker.observer.time.monotonic", lambda moment=moment: moment)
        # The stage has an eighth of the device.
        observer.epoch(Epoch(epoch, 0.1, 1.0, 50.0, 1.0, 50.0, 1.0), 9)
        [progress] = telemetry.progress(redis=redis).values()
        speeds.append(1 / progress.epochs_per_second)
    assert speeds == pytest.approx([1.0, 8.0, 8.0, 0.8 * 8 + 0.2 * 4])


def test_a_heartbeat_ends_the_silence_and_renews_the_lease(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    beating = Heartbeat(redis, worker(NAME), Timing(lease=2000.0, heartbeat=0.1))
    beating.hold(message)
    before = redis.zscore(f"{scripts.PREFIX}leases", message.fingerprint)
    age(redis, NAME, 60)
    assert seen(redis).is_silent()
    beating.start()
    wait_for(lambda: not seen(redis).is_silent())
    wait_for(lambda: redis.zscore(f"{scripts.PREFIX}leases", message.fingerprint) > before)
    beating.stop()


def test_the_leases_of_all_stages_side_by_side_are_renewed(redis: Redis) -> None:
    planned = tiny_plan(seeds=[0, 1])
    messages = register(redis, planned)
    assert all(claim(redis, message) for message in messages)
    before = [redis.zscore(f"{scripts.PREFIX}leases", message.fingerprint) for message in messages]
    beating = Heartbeat(redis, worker(NAME), Timing(lease=2000.0, heartbeat=0.1))
    beating.hold(*messages)
    [live] = telemetry.workers(redis)
    assert (live.stage, live.beside) == (messages[0].fingerprint, (messages[1].fingerprint,))
    beating.start()
    for message, score in zip(messages, before, strict=True):
        wait_for(lambda: redis.zscore(f"{scripts.PREFIX}leases", message.fingerprint) > score)  # noqa: B023
    beating.stop()
