"""A stage has one worker at a time, late calls change nothing, and every change is an event."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from engine.study.plan import Plan, plan
from engine.study.results import Epoch, StageResult
from tasks.queue import leases, scripts, telemetry
from tasks.queue.leases import LeaseLost, Message, StageCancelled
from tests.machine import tiny_study

LEASE = 20.0


def row(epoch: int = 1) -> Epoch:
    return Epoch(epoch, 0.1, 2.0, 50.0, 2.0, 50.0, 0.1)


def result(fingerprint: str) -> StageResult:
    return StageResult(fingerprint, (row(),), 0.0, 0.1, "cpu")


def tiny_plan(**changes: object) -> Plan:
    return plan(tiny_study(**changes), {"digits": "0" * 32})


def register(
    redis: Redis, planned: Plan, study_id: str = "s1", finished: frozenset[str] = frozenset()
) -> list[Message]:
    return leases.register(redis, study_id, {"study_id": study_id}, list(planned.stages.values()), set(finished))


def claim(redis: Redis, message: Message, worker: str = "w1", lease: float = LEASE) -> bool:
    return leases.claim(redis, message, worker, "host", "cpu", lease) is not None


def finish(redis: Redis, message: Message) -> list[Message]:
    assert claim(redis, message)
    return leases.done(redis, message, result(message.fingerprint))


def recorded_states(redis: Redis, fingerprint: str) -> list[str]:
    """Return the states of a stage in the stream of events, in order."""
    bodies = [json.loads(fields["body"]) for _, fields in redis.xrange(telemetry.EVENTS) if fields["kind"] == "stage"]
    return [body["state"] for body in bodies if body["fingerprint"] == fingerprint]


def test_roots_are_queued_first_and_children_as_their_parents_finish(redis: Redis) -> None:
    planned = tiny_plan()
    waiting = register(redis, planned)
    assert [planned.stages[message.fingerprint].kind for message in waiting] == ["pretrain"]
    seen: list[str] = []
    while waiting:
        message = waiting.pop(0)
        seen.append(message.fingerprint)
        waiting += finish(redis, message)
    assert sorted(seen) == sorted(planned.stages)
    assert leases.counts(redis, "s1") == Counter(done=len(planned.stages))
    for fingerprint, stage in planned.stages.items():
        assert stage.parent is None or seen.index(stage.parent) < seen.index(fingerprint)
        assert recorded_states(redis, fingerprint) == ["waiting", "queued", "running", "done"]


def test_of_many_claims_of_a_stage_one_succeeds(redis: Redis) -> None:
    messages = register(redis, tiny_plan(seeds=list(range(20))))
    with ThreadPoolExecutor(16) as pool:
        for message in messages:
            won = list(pool.map(lambda n, m=message: claim(redis, m, f"w{n}"), range(32)))
            assert won.count(True) == 1
    assert all(recorded_states(redis, message.fingerprint).count("running") == 1 for message in messages)


def test_a_claim_whose_answer_was_lost_may_be_repeated(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message, "w1")
    assert claim(redis, message, "w1")
    assert not claim(redis, message, "w2")


def test_a_worker_that_lost_its_lease_cannot_change_the_stage(redis: Redis) -> None:
    [stale] = register(redis, tiny_plan())
    assert claim(redis, stale, "w1")
    leases.renew(redis, stale, LEASE, [row(1)])
    assert leases.expire(redis, "w1") == 1
    [fresh] = leases.reap(redis, stale=60.0)
    assert fresh == Message(stale.fingerprint, stale.attempt + 1)
    assert claim(redis, fresh, "w2")
    before = redis.xlen(telemetry.EVENTS)
    with pytest.raises(LeaseLost):
        leases.renew(redis, stale, LEASE, [row(2)])
    with pytest.raises(LeaseLost):
        leases.show_progress(redis, stale, {"epoch": 2}, 10)
    with pytest.raises(LeaseLost):
        leases.done(redis, stale, result(stale.fingerprint))
    assert leases.fail(redis, stale, "too late") == []
    assert leases.release(redis, stale) == []
    assert not claim(redis, stale, "w1")
    assert redis.xlen(telemetry.EVENTS) == before
    leases.renew(redis, fresh, LEASE)


def test_only_an_expired_lease_is_reaped(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    clock = leases.tick(redis, "", 0.0)
    assert claim(redis, message, lease=20.0)
    for _ in range(5):
        clock = leases.tick(redis, clock, 10.0)
        leases.renew(redis, message, 20.0)
        assert leases.reap(redis, stale=60.0) == []
    leases.tick(redis, clock, 20.0)
    assert leases.reap(redis, stale=60.0) == [Message(message.fingerprint, 2)]
    assert leases.reap(redis, stale=60.0) == []


def test_a_lost_message_is_sent_again_once_the_queue_is_empty(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    redis.rpush(leases.QUEUE, "another message")
    assert leases.reap(redis, stale=0.0) == []
    redis.delete(leases.QUEUE)
    assert leases.reap(redis, stale=30.0) == []
    leases.tick(redis, leases.tick(redis, "", 0.0), 30.0)
    assert leases.reap(redis, stale=30.0) == [message]
    assert leases.reap(redis, stale=30.0) == []
    assert claim(redis, message)
    assert leases.reap(redis, stale=0.0) == []


def test_failures_are_retried_a_limited_number_of_times(redis: Redis) -> None:
    planned = tiny_plan()
    [message] = register(redis, planned)
    for _ in range(leases.FAILURES_ALLOWED):
        assert claim(redis, message)
        [message] = leases.fail(redis, message, "ValueError: no luck")
    assert claim(redis, message)
    assert leases.fail(redis, message, "ValueError: no luck") == []
    counts = leases.counts(redis, "s1")
    assert counts == Counter(failed=1, waiting=len(planned.stages) - 1)
    *_, (_, last) = redis.xrange(telemetry.EVENTS)
    assert json.loads(last["body"])["error"] == "ValueError: no luck"


def test_a_failure_may_exclude_retries(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    assert claim(redis, message)
    assert leases.fail(redis, message, "Diverged", retry=False) == []
    assert leases.counts(redis, "s1")["failed"] == 1


def test_a_stage_that_kills_every_worker_fails(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    for death in range(1, leases.DEATHS_ALLOWED + 1):
        assert claim(redis, message)
        leases.expire(redis, "w1")
        reaped = leases.reap(redis, stale=60.0)
        assert bool(reaped) == (death < leases.DEATHS_ALLOWED)
        message = reaped[0] if reaped else message
    assert leases.counts(redis, "s1")["failed"] == 1
    *_, (_, last) = redis.xrange(telemetry.EVENTS)
    assert "died 5 times" in json.loads(last["body"])["error"]


def test_a_stage_that_makes_progress_may_lose_any_number_of_workers(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    for epoch in range(1, 3 * leases.DEATHS_ALLOWED):
        assert claim(redis, message)
        leases.renew(redis, message, LEASE, [row(epoch)])
        leases.expire(redis, "w1")
        [message] = leases.reap(redis, stale=60.0)
    assert leases.counts(redis, "s1")["failed"] == 0


def test_cancelling_a_study_keeps_the_stages_that_another_needs(redis: Redis) -> None:
    first, second = tiny_plan(pruners=["oneshot"]), tiny_plan(pruners=["iterative"])
    shared = first.stages.keys() & second.stages.keys()
    [message] = register(redis, first, "s1")
    assert register(redis, second, "s2") == []
    leases.cancel(redis, "s1", "2026-01-01T00:00:00+00:00")
    states = leases.states(redis, list(first.stages))
    assert shared
    assert all((states[fingerprint] == "cancelled") == (fingerprint not in shared) for fingerprint in first.stages)
    assert {ready.fingerprint for ready in finish(redis, message)} <= second.stages.keys()
    assert leases.cancel(redis, "unheard of", "2026-01-01T00:00:00+00:00") is None


def test_a_cancelled_stage_stops_its_worker_and_can_be_queued_again(redis: Redis) -> None:
    planned = tiny_plan()
    [message] = register(redis, planned)
    assert claim(redis, message)
    assert leases.cancel(redis, "s1", "2026-01-01T00:00:00+00:00") == len(planned.stages)
    with pytest.raises(StageCancelled):
        leases.renew(redis, message, LEASE, [row()])
    with pytest.raises(StageCancelled):
        leases.show_progress(redis, message, {"epoch": 1}, 10)
    assert leases.reap(redis, stale=0.0) == []
    [again] = register(redis, planned)
    assert again.attempt == message.attempt + 1
    with pytest.raises(LeaseLost):
        leases.renew(redis, message, LEASE)
    assert leases.counts(redis, "s1") == Counter(queued=1, waiting=len(planned.stages) - 1)


def test_finished_stages_are_not_queued_and_release_their_children(redis: Redis) -> None:
    planned = tiny_plan()
    root = next(iter(planned.stages))
    messages = register(redis, planned, finished=frozenset({root}))
    assert {message.fingerprint for message in messages} == set(planned.children[root])
    assert register(redis, planned, "s2", finished=frozenset(planned.stages)) == []
    assert leases.counts(redis, "s2") == Counter(done=len(planned.stages))


def test_a_stage_with_a_lost_result_is_queued_again(redis: Redis) -> None:
    planned = tiny_plan(pruners=[], sparsities=[], starts=[])
    [message] = register(redis, planned)
    finish(redis, message)
    [again] = leases.register(redis, "s2", {}, list(planned.stages.values()), set(), lost={message.fingerprint})
    assert again == Message(message.fingerprint, message.attempt + 1)


def test_a_released_stage_is_queued_again_without_counting_as_failed(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    for _ in range(10):
        assert claim(redis, message)
        [message] = leases.release(redis, message)
    assert message.attempt == 11
    assert leases.counts(redis, "s1")["queued"] == 1


def test_studies_are_found_by_the_beginning_of_their_id(redis: Redis) -> None:
    for study_id in ("ab1", "ab2", "b"):
        register(redis, tiny_plan(), study_id)
    assert leases.studies(redis, "ab") == ["ab1", "ab2"]
    assert leases.studies(redis, "*") == []
    assert len(leases.members(redis, "b")) == len(tiny_plan().stages)


def test_of_two_reapers_one_advances_the_time(redis: Redis) -> None:
    begin = first = second = leases.tick(redis, "", 0.0)
    for _ in range(5):
        first = leases.tick(redis, first, 2.0)
        second = leases.tick(redis, second, 2.0)
    assert float(second) - float(begin) == 10_000.0
    # The second goes on once the first is gone.
    for _ in range(3):
        second = leases.tick(redis, second, 2.0)
    assert float(second) - float(begin) == 16_000.0


def test_queued_stages_are_in_the_order_in_which_they_were_queued(redis: Redis) -> None:
    messages = [register(redis, tiny_plan(seeds=[seed]), f"s{seed}")[0] for seed in range(40)]
    assert redis.zrange(f"{scripts.PREFIX}queued", 0, -1) == [message.fingerprint for message in messages]


def test_leases_of_an_older_version_end_soon(redis: Redis) -> None:
    """They have the time of a clock, in milliseconds."""
    [message] = register(redis, tiny_plan())
    redis.delete(telemetry.CLOCK)
    assert claim(redis, message)
    redis.delete(telemetry.CLOCK)
    redis.zadd(f"{scripts.PREFIX}leases", {message.fingerprint: time.time() * 1000 + 20_000})
    clock = leases.tick(redis, "", 0.0)
    assert leases.reap(redis, stale=60.0) == []
    leases.tick(redis, clock, 22.0)
    assert leases.reap(redis, stale=60.0) == [Message(message.fingerprint, 2)]
