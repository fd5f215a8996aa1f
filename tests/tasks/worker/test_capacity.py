"""How many stages train side by side is measured once, and remembered by later processes."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

from data.datasets.loading import load_images
from data.datasets.registry import identity
from engine.dataset import Dataset
from engine.study.plan import Stage
from engine.training.capacity import STREAMS, Capacity
from tasks.worker import capacity
from tasks.worker.capacity import Capacities
from tests.tasks.queue.test_leases import tiny_plan

CPU = torch.device("cpu")
MEASURED = Capacity(4, 8)


@pytest.fixture
def stage() -> Stage:
    stage = next(iter(tiny_plan().stages.values()))
    return stage.model_copy(update={"images": stage.images.model_copy(update={"identity": identity("digits", Path())})})


@pytest.fixture
def dataset(stage: Stage, tmp_path: Path) -> Dataset:
    return load_images(stage.images, tmp_path)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """The stages whose shape was measured, in no time and with one answer."""
    stages: list[Stage] = []

    def how_many(stage: Stage, *_: object) -> Capacity:
        stages.append(stage)
        return MEASURED

    monkeypatch.setattr(capacity, "how_many", how_many)
    return stages


def test_what_one_process_measures_another_remembers(stage: Stage, dataset: Dataset, tmp_path: Path) -> None:
    measured = Capacities(CPU, None, tmp_path).of(stage, dataset)
    [file] = (tmp_path / "capacity").iterdir()
    at = file.stat().st_mtime_ns
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == measured
    assert file.stat().st_mtime_ns == at


def test_each_shape_is_measured_once(stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage]) -> None:
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
    assert len(measurements) == 1
    smaller = next(iter(tiny_plan(recipe={"epochs": 2, "batch_size": 17}).stages.values()))
    for other in (stage.model_copy(update={"movement": True}), smaller):
        Capacities(CPU, None, tmp_path).of(other, dataset)
    assert len(measurements) == 3
    # A number from the settings is neither measured nor remembered.
    assert Capacities(CPU, 2, tmp_path).of(stage, dataset) == Capacity(2, 2)


def test_lack_of_memory_is_not_remembered(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage]
) -> None:
    first = Capacities(CPU, None, tmp_path)
    first.of(stage, dataset)
    first.shrink(stage, 4)
    assert first.of(stage, dataset) == Capacity(2, 2)
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
    assert len(measurements) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        json.dumps({"key": "another", "capacity": {"fastest": 1, "most": 1, "each": 0}}),
        json.dumps({"capacity": {"fastest": 1, "most": 1, "each": 0}}),
        {"fastest": STREAMS + 1, "most": STREAMS + 1},
        {"fastest": 0, "most": 4},
        {"fastest": "many", "most": 4},
    ],
)
def test_what_cannot_be_read_is_measured_again_and_replaced(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage], damage: str | dict[str, object]
) -> None:
    Capacities(CPU, None, tmp_path).of(stage, dataset)
    [file] = (tmp_path / "capacity").iterdir()
    whole = json.loads(file.read_text())
    file.write_text(damage if isinstance(damage, str) else json.dumps({**whole, "capacity": damage}))
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
    assert len(measurements) == 2
    assert json.loads(file.read_text()) == whole


@pytest.mark.parametrize("age", [capacity.LASTS + 60, -3600.0])
def test_a_number_of_the_day_before_or_of_the_future_is_measured_anew(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage], age: float
) -> None:
    Capacities(CPU, None, tmp_path).of(stage, dataset)
    [file] = (tmp_path / "capacity").iterdir()
    os.utime(file, times=(time.time() - age,) * 2)
    for _ in range(2):
        assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
    assert len(measurements) == 2


def test_another_version_of_what_it_depends_on_is_measured_anew(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    Capacities(CPU, None, tmp_path).of(stage, dataset)
    for name, value in (("VERSION", 0), ("ENGINE_VERSION", 0), ("_facts", lambda device: ("another GPU", 1))):
        monkeypatch.setattr(capacity, name, value)
        Capacities(CPU, None, tmp_path).of(stage, dataset)
    assert len(measurements) == 4


def test_the_memory_that_is_free_now_limits_what_was_measured(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def remembered(measured: Capacity, fit: int) -> tuple[Capacity, int]:
        """Return the capacity of a process in whose free memory some trainings fit, and how often it measured."""
        Path(Capacities(CPU, None, tmp_path)._file(key)).write_text(
            json.dumps({"key": key, "capacity": {"fastest": measured.fastest, "most": measured.most, "each": 10}})
        )
        monkeypatch.setattr(capacity, "fitting", lambda device, each: fit)
        before = len(measurements)
        return Capacities(CPU, None, tmp_path).of(stage, dataset), len(measurements) - before

    key = Capacities(CPU, None, tmp_path)._key(stage)
    (tmp_path / "capacity").mkdir()
    assert remembered(Capacity(4, 16), 20) == (Capacity(4, 20, 10), 0)
    assert remembered(Capacity(4, 16), 3) == (Capacity(3, 3, 10), 0)
    assert remembered(Capacity(4, 16), 0) == (Capacity(1, 1, 10), 0)
    # The first measurement found no room for more.
    assert remembered(Capacity(4, 6), 20) == (MEASURED, 1)


def test_a_home_that_cannot_be_written_does_not_stop_a_worker(
    stage: Stage, dataset: Dataset, tmp_path: Path, measurements: list[Stage]
) -> None:
    (tmp_path / "capacity").write_text("no folder")
    assert Capacities(CPU, None, tmp_path).of(stage, dataset) == MEASURED
