"""The time left: a simulation of the stages that are left, at the speed of the last half minute."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tasks.queue.telemetry import LiveProgress
from tasks.studies.time_left import WINDOW, places, seconds_left, stage_seconds_left
from tests.tasks.queue.test_telemetry import worker

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def stages(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return stages of 10 epochs as the database has them, named by their place; each row changes some columns."""
    frame = pd.DataFrame(
        [
            {
                "fingerprint": str(place), "kind": "retrain", "dataset": "digits", "network": "lenet300",
                "parent": None, "state": "queued", "worker": None, "started_at": pd.NaT, "finished_at": pd.NaT,
                "seconds": float("nan"), "epochs": 10, "epoch": 0, "diverged": None, "reused": False, **row,
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
    return {"state": "done", "epoch": 10, "seconds": 0.9 * seconds, "worker": "a", **times, **changes}


def live(epoch: int, rate: float, epochs: int = 10) -> LiveProgress:
    return LiveProgress(epoch, epochs, 0.5, 90.0, rate, "a", 0.0)


def test_stages_are_shared_among_the_places() -> None:
    rows = stages(done(0, 5), {}, {}, {}, {})
    assert seconds_left(rows, {}, 1) == pytest.approx(20)
    assert seconds_left(rows, {}, 2) == pytest.approx(10)
    assert seconds_left(rows, {}, 3) == pytest.approx(10)
    assert seconds_left(rows, {}, 50) == pytest.approx(5)


def test_stages_that_wait_for_parents_take_their_time_however_many_workers_there_are() -> None:
    chain = [{"state": "waiting", "parent": str(place)} for place in range(1, 6)]
    rows = stages(done(0, 5), {"parent": "0"}, *chain)
    assert seconds_left(rows, {}, 50) == pytest.approx(6 * 5)


def test_a_free_worker_trains_what_is_ready_while_a_child_waits() -> None:
    running = {"state": "running", "epoch": 1, "worker": "a"}
    rows = stages(done(0, 5), running, {"state": "waiting", "parent": "1"}, {}, {})
    # One place ends the running stage at 8 and its child at 13; the other trains the two that are ready until 10.
    assert seconds_left(rows, {"1": live(2, 1.0)}, 2) == pytest.approx(8 + 5, rel=0.2)


def test_the_time_left_is_never_below_that_of_a_stage_in_training() -> None:
    running = {"state": "running", "worker": "a"}
    rows = stages(done(0, 1), running, running, {})
    slow = live(1, 0.01)
    left = seconds_left(rows, {"1": slow, "2": live(9, 10.0)}, 2)
    assert left == pytest.approx(stage_seconds_left(slow)) == pytest.approx(900)


def test_the_last_half_minute_counts_and_not_the_mean_since_the_launch() -> None:
    fast = [done(place, 1) for place in range(20)]
    slow = [done(20 + WINDOW + 4 * place, 4) for place in range(7)]
    assert seconds_left(stages(*fast, *slow, {}), {}, 1) == pytest.approx(4)


def test_a_kind_that_did_not_run_lately_is_slower_by_as_much_as_the_others() -> None:
    dense = {"kind": "pretrain"}
    rows = stages(done(0, 2, **dense), done(2, 1), done(100, 3), {**dense})
    assert seconds_left(rows, {}, 1) == pytest.approx(6)


def test_each_network_has_its_own_speed_and_an_unmeasured_one_its_planned_speed() -> None:
    other = {"network": "resnet20"}
    rows = stages(done(0, 5), done(5, 20, **other), {}, other)
    assert seconds_left(rows, {}, 1) == pytest.approx(25)
    unmeasured = stages(done(0, 5), {}, other)
    assert seconds_left(unmeasured, {}, 1) is None
    assert seconds_left(unmeasured, {}, 1, lambda: {("resnet20", "digits", "retrain"): 3.0}) == pytest.approx(35)


def test_a_kind_that_is_not_measured_takes_as_long_as_others_of_its_network() -> None:
    def fail() -> dict[tuple[str, str, str], float]:
        raise AssertionError("nothing is planned where the network is measured")

    assert seconds_left(stages(done(0, 5, kind="pretrain"), {}), {}, 1, fail) == pytest.approx(5)


def test_nothing_is_known_before_a_speed_is_measured_and_without_a_worker() -> None:
    assert seconds_left(stages({}, {}), {}, 2) is None
    assert seconds_left(stages(done(0, 5), {}), {}, 0) is None
    assert seconds_left(stages(done(0, 5)), {}, 0) == 0


def test_a_running_stage_is_a_place_even_if_no_worker_is_known() -> None:
    rows = stages(done(0, 5), {"state": "running", "epoch": 5}, {})
    assert seconds_left(rows, {}, 0) == pytest.approx(7.5)


def test_reused_stages_say_nothing_about_the_present_speed() -> None:
    rows = stages(done(-9000, 500, reused=True), done(0, 5), {})
    assert seconds_left(rows, {}, 1) == pytest.approx(5)
    assert seconds_left(stages(done(-9000, 500, reused=True), {}), {}, 1) is None


def test_an_interrupted_stage_trains_only_what_is_left() -> None:
    rows = stages(done(0, 5), {"epoch": 8})
    assert seconds_left(rows, {}, 1) == pytest.approx(1)


def test_stages_trained_side_by_side_each_take_the_time_of_the_group() -> None:
    # The seconds of a stage are its share of the group.
    rows = stages(*[done(0, 8) | {"seconds": 2.0} for _ in range(4)], *[{} for _ in range(8)])
    assert seconds_left(rows, {}, 4) == pytest.approx(16)


def test_what_is_made_from_a_failed_or_diverged_training_takes_no_time() -> None:
    failed = stages(done(0, 5), {"state": "failed"}, {"state": "waiting", "parent": "1"}, {})
    assert seconds_left(failed, {}, 1) == pytest.approx(5)
    diverged = stages(done(0, 5), done(5, 1, diverged=3), {"parent": "1"}, {"state": "waiting", "parent": "2"})
    assert seconds_left(diverged, {}, 1) == 0


def test_the_time_between_two_stages_of_a_worker_counts() -> None:
    rows = stages(*[done(2 * place, 1.5) for place in range(5)], {}, {})
    assert seconds_left(rows, {}, 1) == pytest.approx(4)


def test_a_worker_has_as_many_places_as_it_trains_stages_side_by_side() -> None:
    rows = stages(*[{"state": "running"} for _ in range(4)])
    one, group = worker("a:1", stage="0"), worker("a:2", stage="1", beside=("2", "3"))
    assert places([one, group], rows) == 4
    assert places([one, worker("a:3", stage=None)], rows) == 2
    assert places([one, worker("a:4", stage="1", draining=True)], rows) == 1
    assert places([], rows) == 0


def test_beside_other_studies_a_study_has_the_places_of_the_last_half_minute() -> None:
    other = worker("a:9", stage="another study's")
    rows = stages(*[done(3 * place, 3) for place in range(20)], {})
    assert places([other, other], rows) == 1
    # Before it trained anything, it may get them all.
    assert places([other, other], stages({}, {})) == 2
