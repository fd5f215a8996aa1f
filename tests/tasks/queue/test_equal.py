"""A study that is launched twice within a short time is launched once, whoever launches it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from engine.study.spec import Study
from tasks.process import python, spawn
from tasks.queue import equal, leases
from tasks.queue.equal import LaunchedBefore
from tasks.studies import launch
from tests.machine import tiny_study

STUDY = tiny_study(pruners=[], sparsities=[], starts=[])
OTHERS = [
    tiny_study(name="Another name", pruners=[], sparsities=[], starts=[]),
    tiny_study(note="Another note", pruners=[], sparsities=[], starts=[]),
    tiny_study(seeds=[1], pruners=[], sparsities=[], starts=[]),
]


def try_launch(study: Study) -> str | LaunchedBefore:
    try:
        return launch.launch(study)
    except LaunchedBefore as before:
        return before


def test_an_equal_study_is_refused_with_the_first_and_its_age(redis: Redis) -> None:
    first = launch.launch(STUDY)
    with pytest.raises(LaunchedBefore, match=f"was launched . seconds? ago, as {first}$") as caught:
        launch.launch(STUDY)
    assert caught.value.study_id == first
    assert 0.0 <= caught.value.seconds < equal.WITHIN
    assert leases.studies(redis) == [first]


@pytest.mark.parametrize("other", OTHERS, ids=["name", "note", "seeds"])
def test_a_study_that_differs_in_anything_is_launched(redis: Redis, other: Study) -> None:
    assert {launch.launch(STUDY), launch.launch(other)} == set(leases.studies(redis))


def test_again_launches_another_which_then_is_the_first(redis: Redis) -> None:
    first, second = launch.launch(STUDY), launch.launch(STUDY, again=True)
    assert first != second
    third = try_launch(STUDY)
    assert isinstance(third, LaunchedBefore)
    assert third.study_id == second


def test_after_a_while_it_is_launched_as_any_other(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal, "WITHIN", 0.2)
    first = launch.launch(STUDY)
    threading.Event().wait(0.3)
    assert launch.launch(STUDY) != first


@pytest.mark.parametrize("ended", [launch.cancel, lambda study_id: None], ids=["cancelled", "failed"])
def test_a_cancelled_or_failed_study_is_no_reason_not_to_launch(redis: Redis, ended: Callable[[str], object]) -> None:
    first = launch.launch(STUDY)
    ended(first)
    if not leases.is_cancelled(redis, first):
        [root] = leases.members(redis, first)
        message = leases.Message(root, 1)
        leases.claim(redis, message, "w", "h", "cpu", 20.0)
        leases.fail(redis, message, "no images", retry=False)
    assert launch.launch(STUDY) != first


def test_a_deleted_study_is_no_reason_not_to_launch(redis: Redis) -> None:
    first = launch.launch(STUDY)
    leases.forget(redis, first, "2026-01-01T00:00:00+00:00")
    assert launch.launch(STUDY) != first


def test_of_many_launches_at_the_same_moment_one_comes_first(redis: Redis, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(launch.to_toml(STUDY))
    commands = [spawn(python("-m", "tasks", "launch", str(file)), tmp_path / f"{number}.log") for number in range(2)]
    # Each thread has the connection of a process of its own; the barrier lets them plan first.
    barrier = threading.Barrier(6)

    def together() -> str | LaunchedBefore:
        barrier.wait(30)
        return try_launch(STUDY)

    with ThreadPoolExecutor(6) as pool:
        answers = [future.result() for future in [pool.submit(together) for _ in range(6)]]
    assert [command.wait(60) for command in commands] == [0, 0]
    [only] = leases.studies(redis)
    assert {answer.study_id if isinstance(answer, LaunchedBefore) else answer for answer in answers} == {only}
    assert sum(not isinstance(answer, LaunchedBefore) for answer in answers) <= 1
    assert all(only in (tmp_path / f"{number}.log").read_text() for number in range(2))
