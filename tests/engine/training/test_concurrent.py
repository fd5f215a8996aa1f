"""Trainings side by side on one device: each gives the numbers that it gives alone, and ends by itself."""

import gc
import weakref
from collections import deque
from functools import partial

import pytest
import torch
from torch import nn

from engine.dataset import Dataset
from engine.stages.prepare import prepare
from engine.stages.runner import run_stage
from engine.study.results import Epoch
from engine.training import concurrent
from engine.training.capacity import STREAMS, Capacity
from engine.training.cuda_graphs import WARM_UPS, NotRecorded, Recordings, recorded, rehearse
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
    """Return the train loss and test loss of each epoch in one list."""
    return [loss for row in training.history for loss in (row.train_loss, row.test_loss)]


@pytest.mark.parametrize("network", ["lenet300", "resnet20"])
def test_networks_trained_in_turn_give_the_numbers_that_they_give_alone(network: str) -> None:
    torch.set_num_threads(1)
    alone = [run(training) for training in several(network=network)]
    beside = several(network=network)
    for _ in range(2):
        concurrent.side_by_side(beside)
    concurrent.side_by_side(beside[:2])
    for expected, measured in zip(alone, beside, strict=True):
        assert equal(expected.weights(), measured.weights())
        assert losses(expected) == losses(measured)


def test_a_shorter_training_does_not_stop_the_others() -> None:
    trainings = several()
    heard: list[tuple[int, int]] = []

    def after_epoch(training: Training, outcome: concurrent.EpochOutcome) -> bool:
        assert isinstance(outcome, Epoch)
        heard.append((trainings.index(training), outcome.epoch))
        return True

    concurrent.train(trainings, after_epoch)
    assert sorted(heard) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


@pytest.mark.parametrize("epochs", [concurrent.side_by_side, concurrent.run_epochs])
def test_a_diverged_training_is_reported_and_the_others_continue(epochs) -> None:
    fine, lost = training_of(), training_of(rate=1e9, sparsity=None)
    outcomes = epochs([fine, lost])
    assert isinstance(outcomes[0], Epoch)
    assert isinstance(outcomes[1], Diverged)
    assert (len(fine.history), len(lost.history)) == (1, 0)


@pytest.mark.parametrize("network", ["lenet300", "resnet20"])
@pytest.mark.parametrize("batch_size", [32, 36, 96])
def test_rehearsing_steps_changes_nothing(network: str, batch_size: int) -> None:
    """A rehearsal may go beyond the epoch's last image, as it does for the smaller batch at the end."""
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
    assert concurrent._epochs_per_second(trainings) > 0
    assert len(trainings[0].sizes) < concurrent.TIMED_STEPS


def test_where_no_graph_can_be_recorded_the_work_is_called() -> None:
    training = training_of()
    calls: list[int] = []
    work = recorded(lambda: calls.append(1), CPU, training._undone)
    work()
    work()
    assert calls == [1, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device records this")
def test_work_that_a_gpu_cannot_record_is_called_and_the_reason_is_noted() -> None:
    """PyTorch without CUDA fails to make a graph, as a GPU may."""
    training = training_of()
    with pytest.raises(NotRecorded, match="CUDAGraph"):
        recorded(lambda: None, GPU, training._undone)
    works, calls = Recordings(CPU), []
    works._device = GPU
    works.add("step", lambda: calls.append(1), training._undone)
    assert works.failure is not None
    assert len(calls) == WARM_UPS
    works["step"]()
    assert len(calls) == WARM_UPS + 1


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings on a CPU run in the order in which a GPU gets its work, with other work in between."""
    monkeypatch.setattr(Training, "concurrent", property(lambda training: training.device.type == "cpu"))
    monkeypatch.setattr(concurrent, "LAUNCHES_AHEAD", 2)


def test_other_work_between_queued_steps_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    recipe = {"precision": "bf16", "epochs": 3}
    alone = [run(training_of(seed=seed, **recipe)) for seed in range(3)]
    as_on_a_gpu(monkeypatch)
    first, second, third = (training_of(seed=seed, **recipe) for seed in range(3))
    waiting: deque[concurrent.Work] = deque()
    heard: list[tuple[int, int]] = []
    done: list[tuple[int, int]] = []
    asked: list[int] = []

    def after_epoch(training: Training, outcome: concurrent.EpochOutcome) -> bool:
        assert isinstance(outcome, Epoch)
        if len(waiting) == 0:
            # All that the epochs before left is done.
            assert done == heard
        heard.append((training.schedule.seed, outcome.epoch))
        waiting.append(partial(done.append, heard[-1]))
        return True

    def more(going: int) -> list[Training]:
        asked.append(going)
        return [third] if len(asked) == 1 else []

    concurrent.train([first, second], after_epoch, more, waiting)
    assert done == heard
    assert heard == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 1), (2, 2), (2, 3)]
    # Others are asked for while the next epoch is trained, and join after it.
    assert asked == [2, 3, 1, 1]
    for expected, measured in zip(alone, (first, second, third), strict=True):
        assert measured.is_recorded
        assert equal(expected.weights(), measured.weights())
        assert losses(expected) == losses(measured)


def test_steps_are_not_recorded_again_as_rho_grows(dataset: Dataset) -> None:
    """A recorded step reads rho from the device, where it grows with each round and with each fall of the rate."""
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


def test_a_training_without_references_is_freed_at_once() -> None:
    """On a GPU the next training needs its memory, long before Python's garbage collector runs."""
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
    ("speeds", "fastest"),
    [
        # Speeds are by number of trainings; one doubling without a gain may be noise.
        ({1: 10.0, 2: 10.1, 4: 14.0, 8: 20.0, 16: 20.1, 32: 20.2}, 8),
        ({1: 10.0, 2: 10.1, 4: 10.2, 8: 99.0}, 1),
        ({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0, 16: 16.0, 32: 32.0}, STREAMS),
        ({1: 10.0, 2: 12.0, 4: 9.0, 8: 11.0}, 2),
    ],
)
def test_the_capacity_is_the_fastest_number_of_trainings(
    monkeypatch: pytest.MonkeyPatch, speeds: dict[int, float], fastest: int
) -> None:
    counts: list[int] = []

    def speed(trainings: list[Training]) -> float:
        counts.append(len(trainings))
        return speeds[len(trainings)]

    monkeypatch.setattr(concurrent, "_epochs_per_second", speed)
    assert concurrent.how_many(training_of, CPU) == Capacity(fastest, STREAMS)
    assert max(counts) <= min(4 * fastest, STREAMS)


def test_running_out_of_memory_ends_the_measurement_of_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    def speed(trainings: list[Training]) -> float:
        if len(trainings) > 4:
            raise torch.OutOfMemoryError
        return float(len(trainings))

    monkeypatch.setattr(concurrent, "_epochs_per_second", speed)
    assert concurrent.how_many(training_of, CPU) == Capacity(4, 4)


def test_a_cpu_trains_convolutional_networks_and_networks_with_dropout_alone() -> None:
    assert concurrent.how_many(lambda: training_of("resnet20"), CPU) == Capacity(1, 1)
    assert not concurrent.is_random(training_of("mobilenet_v2").network)
    assert concurrent.is_random(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    assert not concurrent.is_random(nn.Sequential(nn.Dropout(0.0)))


def all_recorded(training: Training) -> bool:
    """Return whether every step of a training replays a recorded graph."""
    works = training._recorded.values()
    return bool(works) and all(isinstance(getattr(work, "__self__", None), torch.cuda.CUDAGraph) for work in works)


class TestGpu:
    """The same checks on a GPU, where steps are recorded as graphs and run at the same time."""

    pytestmark = gpu

    @pytest.mark.parametrize("batch_size", [32, 36])
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    @pytest.mark.parametrize("network", ["lenet300", "resnet20"])
    def test_recorded_steps_give_the_losses_of_eager_ones(self, network: str, precision: str, batch_size: int) -> None:
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
    def test_networks_side_by_side_give_the_losses_that_they_give_alone(self, network: str) -> None:
        alone = [run(training) for training in several(GPU, network)]
        beside = several(GPU, network)
        concurrent.train(beside, lambda *_: True)
        assert all(all_recorded(training) for training in beside)
        for expected, measured in zip(alone, beside, strict=True):
            assert losses(expected) == pytest.approx(losses(measured), rel=1e-3, abs=1e-3)

    def test_a_training_that_joins_gives_the_losses_that_it_gives_alone(self) -> None:
        alone = [run(training) for training in several(GPU, "resnet20")]
        beside = several(GPU, "resnet20")
        others = beside[1:]
        concurrent.train(beside[:1], lambda *_: True, lambda going: [others.pop(0)] if others else [])
        for expected, measured in zip(alone, beside, strict=True):
            assert all_recorded(measured)
            assert losses(expected) == pytest.approx(losses(measured), rel=1e-3, abs=1e-3)

    def test_recording_does_not_wait_for_other_streams(self) -> None:
        # Libraries load their kernels at the first use, which may stop the device.
        run(training_of(device=GPU)).close()
        training, busy, done = training_of(device=GPU), torch.cuda.Stream(), torch.cuda.Event()
        training.begin_epoch()
        torch.cuda.synchronize()
        with torch.cuda.stream(busy):
            # Some seconds, in cycles of the device.
            torch.cuda._sleep(6_000_000_000)
            done.record()
        training.record()
        assert all_recorded(training)
        assert not done.query()

    def test_a_closed_training_frees_the_memory_of_its_graphs(self) -> None:
        run(training_of("resnet20", device=GPU)).close()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        for _ in range(3):
            run(training_of("resnet20", device=GPU)).close()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved() <= 1.5 * before

    def test_the_capacity_is_measured(self) -> None:
        capacity = concurrent.how_many(lambda: training_of("resnet20", device=GPU), GPU)
        assert 1 <= capacity.fastest <= capacity.most <= STREAMS
