"""The stages that a worker trains beside another, each of which ends by itself."""

from pathlib import Path

import pytest
from redis import Redis

from data.datasets.registry import identity
from data.settings import settings
from engine.study.plan import Stage, plan
from engine.training.capacity import Capacity
from tasks.queue import leases, scripts
from tasks.queue.leases import LeaseLost, Message, Sharing
from tasks.queue.timing import Timing
from tasks.worker.group import StageGroup
from tasks.worker.trainer import Trainer
from tests.machine import folder_of_images, tiny_study
from tests.tasks.queue.test_leases import LEASE, claim, recorded_states, register, result, row, tiny_plan


def alike(
    redis: Redis, stage: Stage, held: int = 1, fastest: int = 10, fit: int = 10, joining: bool = False, **others: int
) -> list[Message]:
    """Claim stages that can be trained beside a stage; others: the numbers of workers and of idle ones."""
    sharing = Sharing(held, joining, **{"workers": 1, "idle": 0, **others})
    place = "w1", "host", "cuda:0", LEASE
    return [message for message, _ in leases.claim_alike(redis, stage, Capacity(fastest, fit), sharing, *place)]


def test_queued_stages_of_one_shape_can_be_claimed_beside_another(redis: Redis) -> None:
    planned = tiny_plan(seeds=[0, 1, 2], learning_rates=[0.01, 0.1])
    other = tiny_plan(recipe={"epochs": 2, "batch_size": 64})
    waiting = register(redis, planned)
    register(redis, other, "s2")
    assert len(waiting) == 6
    first = waiting[0]
    stage = planned.stages[first.fingerprint]
    assert claim(redis, first)
    # Neither the stage that it has already nor one of another shape is claimed.
    two = alike(redis, stage, fastest=3)
    assert len(two) == 2
    rest = alike(redis, stage)
    assert {*two, *rest} == set(waiting[1:])
    assert alike(redis, stage) == []
    # Their own messages can no longer claim them, and they can be renewed and finished like any other.
    assert not claim(redis, two[0], "w2")
    leases.renew(redis, two[0], LEASE, [row()])
    assert leases.done(redis, two[0], result(two[0].fingerprint))
    assert recorded_states(redis, two[1].fingerprint) == ["waiting", "queued", "running"]


def test_a_worker_claims_a_fair_share_of_the_stages_of_one_shape(redis: Redis) -> None:
    planned = tiny_plan(seeds=list(range(8)))
    waiting = register(redis, planned)
    assert claim(redis, waiting[0])
    # Of eight stages, each of three workers has three at most.
    stage = planned.stages[waiting[0].fingerprint]
    assert len(alike(redis, stage, workers=3)) == 2
    # A worker with three has its share of the eight; stages that join are shared with idle workers alone.
    assert alike(redis, stage, held=3, workers=3) == []
    assert len(alike(redis, stage, held=3, workers=3, idle=1, joining=True)) == 3
    assert len(alike(redis, stage, held=6, workers=3, joining=True)) == 2


def test_stages_begun_before_are_claimed_first_as_far_as_they_fit(redis: Redis) -> None:
    planned = tiny_plan(seeds=list(range(8)))
    waiting = register(redis, planned)
    for message in waiting[3:8]:
        assert claim(redis, message, "dead")
        assert leases.release(redis, message)
    assert claim(redis, waiting[0])
    stage = planned.stages[waiting[0].fingerprint]
    begun = {Message(message.fingerprint, 2) for message in waiting[3:8]}
    # They are shared with idle workers alone, and may be more than are fastest, but no more than fit.
    first = alike(redis, stage, fastest=1, workers=9, idle=1)
    assert len(first) == 3
    assert set(first) < begun
    second = alike(redis, stage, held=4, fastest=1, fit=5, workers=9)
    assert len(second) == 1
    rest = alike(redis, stage, held=5, fastest=10)
    assert set(rest) == begun - set(first) - set(second) | set(waiting[1:3])
    assert Message(rest[0].fingerprint, rest[0].attempt) in begun


def test_stages_whose_weights_were_lost_are_claimed_first_too(redis: Redis) -> None:
    """Other stages wait for these weights."""
    planned = tiny_plan(seeds=[0, 1, 2, 3])
    first, again, *others = register(redis, planned)
    assert claim(redis, again)
    assert leases.fail(redis, again, "weights of another are gone")
    assert claim(redis, first)
    stage = planned.stages[first.fingerprint]
    assert alike(redis, stage, fastest=2) == [Message(again.fingerprint, 2)]
    assert set(alike(redis, stage, held=2, joining=True)) == set(others)


def test_a_joining_stage_does_not_overtake_another_shape(redis: Redis) -> None:
    planned, other = tiny_plan(seeds=[0, 1]), tiny_plan(recipe={"epochs": 2, "batch_size": 64})
    first, second = register(redis, planned)
    [between] = register(redis, other, "s2")
    later = register(redis, tiny_plan(seeds=[2, 3]), "s3")
    assert claim(redis, first)
    stage = planned.stages[first.fingerprint]
    # Stages queued in the same millisecond would be ordered by their names.
    for place, message in enumerate((second, between, *later)):
        redis.zadd(f"{scripts.PREFIX}queued", {message.fingerprint: place})
    assert alike(redis, stage, joining=True) == [second]
    assert alike(redis, stage, held=2, joining=True) == []
    # A stage begun before may overtake, unless the stage that waits was begun before too.
    assert claim(redis, later[0], "dead")
    assert leases.release(redis, later[0])
    assert alike(redis, stage, held=2, joining=True) == [Message(later[0].fingerprint, 2)]
    assert claim(redis, between, "dead")
    assert leases.release(redis, between)
    redis.zadd(f"{scripts.PREFIX}queued", {later[1].fingerprint: 0})
    assert alike(redis, stage, held=3, joining=True) == []
    assert alike(redis, stage, held=3) == [later[1]]


def test_a_stage_claimed_again_is_separate_from_the_lost_attempt(redis: Redis) -> None:
    [message] = register(redis, tiny_plan())
    stage = tiny_plan().stages[message.fingerprint]
    group = StageGroup(Trainer(settings(), "cpu", Timing()).context)
    assert claim(redis, message)
    [lost] = group._begin([(message, stage)])
    [again] = leases.release(redis, message)
    assert claim(redis, again)
    [current] = group._begin([(again, stage)])
    group._ended(lost, LeaseLost())
    assert leases.counts(redis, "s1")["running"] == 1
    leases.renew(redis, again, LEASE)
    group._ended(current, result(message.fingerprint))
    assert leases.counts(redis, "s1")["done"] == 1


@pytest.mark.parametrize("gone", [False, True])
def test_images_that_cannot_be_trained_on_fail_once_with_all_of_them_listed(
    redis: Redis, tmp_path: Path, gone: bool
) -> None:
    root = folder_of_images(tmp_path / "images")
    for name in ("train/dark/3.png", "test/light/1.png"):
        (root / name).write_bytes(b"")
    name = f"folder:{root}"
    study = tiny_study(datasets=[name], train_images=None, test_images=None, pruners=[], sparsities=[], starts=[])
    planned = plan(study, {name: identity(name, settings().home)})
    [message] = register(redis, planned)
    if gone:
        root.rename(tmp_path / "elsewhere")
    assert claim(redis, message)
    context = Trainer(settings(), "cpu", Timing()).context
    StageGroup(context).train(message, planned.stages[message.fingerprint])
    error = str(redis.hget(f"{scripts.PREFIX}stage:{message.fingerprint}", "error"))
    if gone:
        # Another host may have the folder.
        assert error.startswith(f"DatasetError: no folder at {root}")
        assert leases.counts(redis, "s1") == {"queued": 1}
        return
    assert leases.counts(redis, "s1") == {"failed": 1}
    assert recorded_states(redis, message.fingerprint) == ["waiting", "queued", "running", "failed"]
    assert error.splitlines()[:3] == [
        f"DatasetError: 2 of the 60 images in {root} cannot be trained on; replace or remove them:",
        "train/dark/3.png is empty",
        "test/light/1.png is empty",
    ]
