"""The time left: a simulation of the stages that are left, at the speed of the last half minute."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tasks.queue.telemetry import LiveProgress, Worker
from tasks.studies.recent_speed import WINDOW
from tasks.studies.time_left import Places, places, seconds_left, stage_seconds_left
from tests.tasks.queue import test_telemetry

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def stages(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return stages of 10 epochs as the database has them, named by their place; each row changes some columns."""
    frame = pd.DataFrame(
        [
            {
                "fingerprint": str(place), "kind": "retrain", "dataset": "digits", "network": "lenet300",
                "parent": None, "state": "queued", "worker": None, "attempt": 0,
                "started_at": pd.NaT, "finished_at": pd.NaT, "seconds": float("nan"),
                "epochs": 10, "epoch": 0, "diverged": None, "reused": False, **row,
            }
            for place, row in enumerate(rows)
        ]
    )  # fmt: skip
    for name in ("started_at", "finished_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.astype({"diverged": "Int64"})


def done(begin: float, seconds: float, **changes: Any) -> dict[str, Any]:
    """Return a stage that was trained, seconds after BEGAN."""
    times = {"started_at": BEGAN + timedelta(seconds=begin), "finished_at": BEGAN + timedelta(seconds=begin + seconds)}
    return {"state": "done", "attempt": 1, "epoch": 10, "seconds": 0.9 * seconds, "worker": "a", **times, **changes}


def running(begin: float, name: str) -> dict[str, Any]:
    """Return a stage in training since seconds after BEGAN."""
    return {"state": "running", "attempt": 1, "worker": name, "started_at": BEGAN + timedelta(seconds=begin)}


def live(epoch: int, rate: float, epochs: int = 10) -> LiveProgress:
    return LiveProgress(epoch, epochs, 0.5, 90.0, rate, "a", 0.0)


def worker(name: str, **changes: Any) -> Worker:
    """Return a worker whose last heartbeat was just now."""
    return test_telemetry.worker(name, **{"seen": datetime.now(UTC), **changes})


def test_stages_are_shared_among_the_places() -> None:
    rows = stages(done(0, 5), {}, {}, {}, {})
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(20)
    assert seconds_left(rows, {}, Places(2)) == pytest.approx(10)
    assert seconds_left(rows, {}, Places(3)) == pytest.approx(10)
    assert seconds_left(rows, {}, Places(50)) == pytest.approx(5)


def test_stages_that_wait_for_parents_take_their_time_however_many_workers_there_are() -> None:
    chain = [{"state": "waiting", "parent": str(place)} for place in range(1, 6)]
    rows = stages(done(0, 5), {"parent": "0"}, *chain)
    assert seconds_left(rows, {}, Places(50)) == pytest.approx(6 * 5)


def test_a_free_worker_trains_what_is_ready_while_a_child_waits() -> None:
    running = {"state": "running", "epoch": 1, "worker": "a"}
    rows = stages(done(0, 5), running, {"state": "waiting", "parent": "1"}, {}, {})
    # One place ends the running stage at 8 and its child at 13; the other trains the two that are ready until 10.
    assert seconds_left(rows, {"1": live(2, 1.0)}, Places(2)) == pytest.approx(8 + 5, rel=0.2)


def test_the_time_left_is_never_below_that_of_a_stage_in_training() -> None:
    running = {"state": "running", "worker": "a"}
    rows = stages(done(0, 1), running, running, {})
    slow = live(1, 0.01)
    left = seconds_left(rows, {"1": slow, "2": live(9, 10.0)}, Places(2))
    assert left == pytest.approx(stage_seconds_left(slow)) == pytest.approx(900)


def test_a_stage_in_training_counts_as_such_before_the_database_says_so() -> None:
    rows = stages(done(0, 1), {"state": "queued"})
    assert seconds_left(rows, {"1": live(1, 0.01)}, Places(2)) == pytest.approx(900)


def test_the_last_half_minute_counts_and_not_the_mean_since_the_launch() -> None:
    fast = [done(place, 1) for place in range(20)]
    slow = [done(20 + WINDOW + 4 * place, 4) for place in range(7)]
    assert seconds_left(stages(*fast, *slow, {}), {}, Places(1)) == pytest.approx(4)


def test_a_kind_that_did_not_run_lately_is_slower_by_as_much_as_the_others() -> None:
    dense = {"kind": "pretrain"}
    rows = stages(done(0, 2, **dense), done(2, 1), done(100, 3), {**dense})
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(6)


def test_each_network_has_its_own_speed_and_an_unmeasured_one_its_planned_speed() -> None:
    other = {"network": "resnet20"}
    rows = stages(done(0, 5), done(5, 20, **other), {}, other)
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(25)
    unmeasured = stages(done(0, 5), {}, other)
    assert seconds_left(unmeasured, {}, Places(1)) is None
    assert seconds_left(unmeasured, {}, Places(1), lambda: {("resnet20", "digits", "retrain"): 3.0}) == pytest.approx(
        35
    )


def test_a_kind_that_is_not_measured_takes_as_long_as_others_of_its_network() -> None:
    def fail() -> dict[tuple[str, str, str], float]:
        raise AssertionError("nothing is planned where the network is measured")

    assert seconds_left(stages(done(0, 5, kind="pretrain"), {}), {}, Places(1), fail) == pytest.approx(5)


def test_nothing_is_known_before_a_speed_is_measured_and_without_a_worker() -> None:
    assert seconds_left(stages({}, {}), {}, Places(2)) is None
    assert seconds_left(stages(done(0, 5), {}), {}, Places(0)) is None
    assert seconds_left(stages(done(0, 5)), {}, Places(0)) == 0


def test_a_running_stage_is_a_place_even_if_no_worker_is_known() -> None:
    rows = stages(done(0, 5), {"state": "running", "epoch": 5}, {})
    assert seconds_left(rows, {}, Places(0)) == pytest.approx(7.5)


def test_reused_stages_say_nothing_about_the_present_speed() -> None:
    rows = stages(done(-9000, 500, reused=True), done(0, 5), {})
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(5)
    assert seconds_left(stages(done(-9000, 500, reused=True), {}), {}, Places(1)) is None


def test_an_interrupted_stage_trains_only_what_is_left() -> None:
    rows = stages(done(0, 5), {"epoch": 8})
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(1)


def test_stages_that_a_worker_trains_side_by_side_share_its_time() -> None:
    rows = stages(*[done(0, 8) for _ in range(4)], *[{} for _ in range(8)])
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(16)
    # One that is alone is as fast as all together.
    alone = stages(*[done(0, 8) for _ in range(4)], {})
    assert seconds_left(alone, {}, Places(1)) == pytest.approx(2)


def test_on_a_gpu_each_of_them_takes_the_time_of_the_group() -> None:
    rows = stages(*[done(0, 8) for _ in range(4)], *[{} for _ in range(8)])
    assert seconds_left(rows, {}, Places(4, shared=False)) == pytest.approx(16)
    alone = stages(*[done(0, 8) for _ in range(4)], {})
    assert seconds_left(alone, {}, Places(4, shared=False)) == pytest.approx(8)


def test_a_group_in_training_ends_when_its_stages_do() -> None:
    group = [running(0, "a") for _ in range(4)]
    rows = stages(*group, {"state": "waiting", "parent": "0"})
    progress = {str(place): live(5, 0.5) for place in range(4)}
    # The worker is free after ten seconds, and alone trains ten epochs in five.
    assert seconds_left(rows, progress, Places(1)) == pytest.approx(10 + 5)


def test_what_is_made_from_a_failed_or_diverged_training_takes_no_time() -> None:
    failed = stages(done(0, 5), {"state": "failed"}, {"state": "waiting", "parent": "1"}, {})
    assert seconds_left(failed, {}, Places(1)) == pytest.approx(5)
    diverged = stages(done(0, 5), done(5, 1, diverged=3), {"parent": "1"}, {"state": "waiting", "parent": "2"})
    assert seconds_left(diverged, {}, Places(1)) == 0


def test_the_time_between_two_stages_of_a_worker_counts() -> None:
    rows = stages(*[done(2 * place, 1.5) for place in range(5)], {}, {})
    assert seconds_left(rows, {}, Places(1)) == pytest.approx(4)


def test_the_places_are_workers_and_on_a_gpu_stages_side_by_side() -> None:
    # One worker trained four at a time, the other one; by now both train one.
    rows = stages(*[done(0, 10) for _ in range(4)], running(10, "a"), done(0, 10, worker="b"), running(10, "b"))
    one, other, idle = {"stage": "4"}, {"stage": "6"}, {"stage": None}

    def counted(*reports: dict[str, Any], **changes: Any) -> float:
        return places([worker(f"h:{n}", **report, **changes) for n, report in enumerate(reports)], rows).number

    assert counted(one, other) == 2
    assert counted(one, other, idle) == 3
    assert counted(one, {**other, "draining": True}) == 1
    assert counted() == 0
    assert counted(one, other, device="cuda:0") == pytest.approx(2 * 5 / 2)
    assert counted(one, device="cuda:0") == pytest.approx(5 / 2)
    assert not places([worker("h:1", device="cuda:0")], rows).shared


def test_before_any_time_is_known_a_gpu_has_the_places_that_it_uses() -> None:
    rows = stages(*[{"state": "running"} for _ in range(4)])
    assert places([worker("h:1", stage="0", beside=("1", "2"), device="cuda:0")], rows).number == 3


def test_a_part_of_a_place_is_shared() -> None:
    rows = stages(done(0, 6), {}, {}, {})
    assert seconds_left(rows, {}, Places(1.5)) == pytest.approx(2 * 6 * 2 / 1.5, rel=0.3)


def test_beside_other_studies_a_study_has_the_places_of_the_last_half_minute() -> None:
    other = worker("h:9", stage="another study's")
    rows = stages(*[done(3 * place, 3) for place in range(20)], {})
    assert places([other, other], rows).number == 1
    # Before it trained anything, it may get them all.
    assert places([other, other], stages({}, {})).number == 2


def test_after_an_interruption_neither_the_pause_nor_partly_trained_stages_count() -> None:
    # Both stages of a group were interrupted and trained their last epochs in a second.
    resumed = done(40, 1, attempt=2, worker="c")
    rows = stages(done(0, 10), done(0, 10), done(10, 10), done(10, 10), resumed, resumed, {}, {}, {}, {})
    here = worker("h:1", stage="6")
    assert seconds_left(rows, {}, places([here], rows)) == pytest.approx(20)
