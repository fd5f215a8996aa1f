"""Trainings side by side on one device: each gives what it gives alone, and ends for itself."""

import gc
import weakref

import pytest
import torch
from torch import nn

from engine.capacity import STREAMS, Capacity
from engine.dataset import Dataset
from engine.stages.prepare import prepare
from engine.stages.runner import run_stage
from engine.study.results import Epoch
from engine.training import concurrent
from engine.training.cuda_graphs import WARM_UPS, recorded, rehearse
from engine.training.sgd import EVALUATION, Diverged, Training
from tests.engine.conftest import Listener, MemoryWeights, plan_of, small_study
from tests.engine.training.test_sgd import equal, run, training_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def several(device: torch.device = CPU, network: str = "lenet300", **recipe: object) -> list[Training]:
    """Return trainings of one shape that differ in rate, seed, mask and length."""
    return [
        training_of(network, sparsity, rate, seed, device, epochs=epochs, **recipe)
        for sparsity, rate, seed, epochs in ((0.8, 0.05, 0, 3), (None, 0.1, 1, 3), (0.5, 0.01, 2, 2))
    ]


def losses(training: Training) -> list[float]:
    """Return train loss and test loss of each epoch, one after the other."""
    return [loss for row in training.history for loss in (row.train_loss, row.test_loss)]


@pytest.mark.parametrize("network", ["lenet300", "resnet20"])
def test_steps_taken_in_turn_give_each_network_what_it_gives_alone(network: str) -> None:
    torch.set_num_threads(1)
    alone = [run(training) for training in several(network=network)]
    beside = several(network=network)
    for _ in range(2):
        concurrent.side_by_side(beside)
    concurrent.side_by_side(beside[:2])
    for one, other in zip(alone, beside, strict=True):
        assert equal(one.weights(), other.weights())
        assert losses(one) == losses(other)


def test_a_shorter_training_leaves_the_others_going() -> None:
    trainings = several()
    heard: list[tuple[int, int]] = []

    def after_epoch(training: Training, outcome: concurrent.EpochOutcome) -> bool:
        assert isinstance(outcome, Epoch)
        heard.append((trainings.index(training), outcome.epoch))
        return True

    concurrent.train(trainings, after_epoch)
    assert sorted(heard) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


@pytest.mark.parametrize("epochs", [concurrent.side_by_side, concurrent.run_epochs])
def test_one_that_diverges_is_told_and_the_others_go_on(epochs) -> None:
    fine, lost = training_of(), training_of(rate=1e9, sparsity=None)
    outcomes = epochs([fine, lost])
    assert isinstance(outcomes[0], Epoch)
    assert isinstance(outcomes[1], Diverged)
    assert (len(fine.history), len(lost.history)) == (1, 0)


@pytest.mark.parametrize("network", ["lenet300", "resnet20"])
@pytest.mark.parametrize("batch_size", [32, 36, 96])
def test_rehearsing_steps_changes_nothing(network: str, batch_size: int) -> None:
    """Also where it goes on beyond the epoch's last image, as for the smaller batch at its end."""
    plain, rehearsed = (training_of(network, batch_size=batch_size) for _ in range(2))
    steps: list[int] = []

    def rehearsing(size: int) -> None:
        def step() -> None:
            steps.append(size)
            rehearsed.step(size)

        rehearse(step, rehearsed._undone)

    for epoch in range(2):
        plain.run_epoch()
        steps.clear()
        rehearsed.begin_epoch()
        for size in rehearsed.sizes:
            rehearsing(size)
            rehearsed.step(size)
        assert len(steps) == WARM_UPS * len(rehearsed.sizes)
        rehearsed.queue_evaluation()
        rehearsed.end_epoch(0.0)
        assert losses(plain)[2 * epoch :] == losses(rehearsed)[2 * epoch :]
    assert equal(plain.weights(), rehearsed.weights())


def test_steps_are_timed_however_short_an_epoch_is() -> None:
    trainings = [training_of(batch_size=40) for _ in range(2)]
    assert concurrent._steps_per_second(trainings) > 0
    assert len(trainings[0].sizes) < concurrent.TIMED_STEPS


def test_where_nothing_can_be_recorded_the_work_is_called() -> None:
    training = training_of()
    called: list[int] = []
    work = recorded(lambda: called.append(1), CPU, training._undone)
    work()
    work()
    assert called == [1, 1]


def test_no_step_is_recorded_anew_as_rho_grows(dataset: Dataset) -> None:
    """A recorded step reads rho, which grows from round to round and where the rate falls."""
    study = small_study(
        pruners=["admm"],
        recipe={"epochs": 4, "batch_size": 32, "augmentation": "none", "milestones": [0.5]},
        admm={"rounds": 4, "period": 1},
    )
    weights = MemoryWeights()
    stages = list(plan_of(study).stages.values())
    [dense] = [stage for stage in stages if stage.kind == "pretrain"]
    run_stage(dense, dataset, weights, CPU, Listener())
    training = prepare(next(stage for stage in stages if stage.kind == "admm"), dataset, weights, CPU)[2]
    training._graphs = True
    assert training.penalty is not None
    recordings: list[dict[str | int, object]] = []
    rhos, places = [], set()
    for _ in range(4):
        training.run_epoch()
        recordings.append(dict(training._recorded))
        rhos.append(float(training.penalty._weight))
        places.add(training.penalty._weight.data_ptr())
    assert all(recording == recordings[0] for recording in recordings)
    assert {32, EVALUATION} <= recordings[0].keys()
    assert rhos == sorted(set(rhos))
    assert len(places) == 1


def test_a_training_that_nobody_holds_is_freed_at_once() -> None:
    """On a GPU its memory is wanted by the next, long before Python's collector comes round."""
    run(training_of())
    gc.collect()
    gc.disable()
    try:
        training = run(training_of())
        freed = weakref.ref(training)
        del training
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("speeds", "found"),
    [
        # By number of trainings; one doubling that brings nothing may be noise.
        ({1: 10.0, 2: 10.1, 4: 14.0, 8: 20.0, 16: 20.1, 32: 20.2}, 8),
        ({1: 10.0, 2: 10.1, 4: 10.2, 8: 99.0}, 1),
        ({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0, 16: 16.0, 32: 32.0}, STREAMS),
        ({1: 10.0, 2: 12.0, 4: 9.0, 8: 11.0}, 2),
    ],
)
def test_as_many_as_are_fastest(monkeypatch: pytest.MonkeyPatch, speeds: dict[int, float], found: int) -> None:
    asked: list[int] = []

    def speed(trainings: list[Training]) -> float:
        asked.append(len(trainings))
        return speeds[len(trainings)]

    monkeypatch.setattr(concurrent, "_steps_per_second", speed)
    assert concurrent.how_many(training_of, CPU) == Capacity(found, STREAMS)
    assert max(asked) <= min(4 * found, STREAMS)


def test_memory_that_runs_out_ends_the_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    def speed(trainings: list[Training]) -> float:
        if len(trainings) > 4:
            raise torch.OutOfMemoryError
        return float(len(trainings))

    monkeypatch.setattr(concurrent, "_steps_per_second", speed)
    assert concurrent.how_many(training_of, CPU) == Capacity(4, 4)


def test_a_cpu_takes_one_convolutional_network_at_a_time_and_one_that_draws_trains_alone() -> None:
    assert concurrent.how_many(lambda: training_of("resnet20"), CPU) == Capacity(1, 1)
    assert not concurrent.is_random(training_of("mobilenet_v2").network)
    assert concurrent.is_random(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    assert not concurrent.is_random(nn.Sequential(nn.Dropout(0.0)))


def all_recorded(training: Training) -> bool:
    """Return whether every work of a training is the replay of a graph, and none is called instead."""
    works = training._recorded.values()
    return bool(works) and all(isinstance(getattr(work, "__self__", None), torch.cuda.CUDAGraph) for work in works)


class TestGpu:
    """The same on a GPU, where steps are recorded and run at once."""

    pytestmark = gpu

    @pytest.mark.parametrize("batch_size", [32, 36])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    @pytest.mark.parametrize("network", ["lenet300", "resnet20"])
    def test_recorded_steps_give_what_eager_ones_give(self, network: str, precision: str, batch_size: int) -> None:
        eager, replayed = (
            training_of(network, device=GPU, precision=precision, batch_size=batch_size) for _ in range(2)
        )
        eager._graphs = False
        run(eager)
        run(replayed)
        assert all_recorded(replayed)
        assert set(replayed._recorded) == {*replayed.sizes, EVALUATION}
        assert losses(eager) == pytest.approx(losses(replayed), rel=1e-3, abs=1e-3)

    @pytest.mark.parametrize("network", ["lenet300", "resnet20"])
    def test_side_by_side_each_network_gives_what_it_gives_alone(self, network: str) -> None:
        alone = [run(training) for training in several(GPU, network)]
        beside = several(GPU, network)
        concurrent.train(beside, lambda *_: True)
        assert all(all_recorded(training) for training in beside)
        for one, other in zip(alone, beside, strict=True):
            assert losses(one) == pytest.approx(losses(other), rel=1e-3, abs=1e-3)

    def test_a_training_that_is_closed_gives_its_graphs_memory_back(self) -> None:
        run(training_of("resnet20", device=GPU)).close()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        for _ in range(3):
            run(training_of("resnet20", device=GPU)).close()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved() <= 1.5 * before

    def test_how_many_is_measured(self) -> None:
        room = concurrent.how_many(lambda: training_of("resnet20", device=GPU), GPU)
        assert 1 <= room.fastest <= room.most <= STREAMS
