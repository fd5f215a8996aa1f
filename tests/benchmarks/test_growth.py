"""The benchmark of growth: each step does the work that it counts, and each goal is compared at its own size."""

from pathlib import Path

import pytest
import torch

from benchmarks import growth
from engine.study.spec import StudyError

CPU = torch.device("cpu")


def check(result: dict, works: list[int], repetitions: int) -> None:
    """Check that every size did its work, that its seconds are in order, and that the table has a row for each."""
    assert [row["work"] for row in result["rows"]] == works
    for row in result["rows"]:
        seconds = row["seconds"]
        assert 0 < seconds["least"] <= seconds["median"] <= seconds["most"]
        assert row["per_second"] == pytest.approx(row["work"] / seconds["median"])
        assert repetitions > 1 or seconds["least"] == seconds["most"]
    assert result["growth"]["work"] == works[-1] / works[0]
    medians = [row["seconds"]["median"] for row in result["rows"]]
    assert result["growth"]["seconds"] == medians[-1] / medians[0]
    assert growth.table([result]).row_count == len(works)


def test_planning_counts_the_stages_of_all_figures(home: Path) -> None:
    check(growth.measure("planning", CPU, 2, (1, 2)), [943, 2 * 943], 2)
    assert not home.exists()


def test_a_study_beyond_the_limits_is_refused() -> None:
    with pytest.raises(StudyError, match="allowed: 20,000"):
        growth.whole_paper(20)


def test_overlaps_are_counted_over_all_weights_of_vgg() -> None:
    result = growth.measure("overlap", CPU, 3, (1 / 512, 10 / 512))
    check(result, [18_010, 180_100], 3)
    assert result["goal"] is None


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # monkeypatch must set these before the benchmark does, to restore them afterwards.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1/0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("environment")
def test_launching_queues_all_stages_anew_each_time() -> None:
    check(growth.measure("launching", CPU, 2, (1,)), [943], 2)


@pytest.mark.usefixtures("environment")
def test_a_recorder_drains_every_epoch_of_a_stream() -> None:
    check(growth.measure("recording", CPU, 1, (40, 80)), [40 * 150, 80 * 150], 1)


@pytest.mark.usefixtures("home")
def test_the_list_has_all_copies_of_a_study() -> None:
    check(growth.measure("listing", CPU, 1, (2, 5)), [2, 5], 1)


@pytest.mark.usefixtures("environment")
def test_a_recorder_drains_every_overlap_of_a_stream() -> None:
    # The first of the three stages, a dense training, has 19 p for each of ResNet-20's 19 layers; the others have none.
    result = growth.measure("recording_overlaps", CPU, 1, (3,))
    check(result, [19 * 19], 1)
    assert result["goal"] is None


def row(size: float, seconds: float, work: int) -> dict:
    return {"size": size, "seconds": {"median": seconds}, "per_second": work / seconds}


def test_a_goal_applies_to_its_size_and_device() -> None:
    overlap, recording = growth.STEPS["overlap"], growth.STEPS["recording"]
    rows = [row(1, 0.4, 9), row(10, 4.0, 90)]
    assert growth._goal(overlap, CPU, rows) == {"size": 1, "seconds": 0.5, "met": True}
    assert growth._goal(overlap, torch.device("cuda"), rows) == {"size": 1, "seconds": 0.05, "met": False}
    assert growth._goal(overlap, CPU, rows[1:]) is None
    met = [growth._goal(recording, CPU, [row(2000, 10.0, work)])["met"] for work in (49_999, 50_000)]
    assert met == [False, True]
