"""Stacked networks of linear layers give the numbers that each gives alone, to the last bit."""

import pytest
import torch
from torch import nn

from engine.stages.prepare import prepare
from engine.stages.runner import run_stage
from engine.training import concurrent
from engine.training.sgd import Training
from engine.training.stacked import Stack, can_stack
from tests.engine.conftest import Listener, MemoryWeights, plan_of, small_study
from tests.engine.training.test_sgd import equal, run, training_of

CPU = torch.device("cpu")


def several(count: int, **recipe: object) -> list[Training]:
    """Return trainings that differ in sparsity, rate and seed."""
    return [
        training_of(sparsity=(0.8, None, 0.5)[seed % 3], rate=0.02 * (1 + seed), seed=seed, epochs=2, **recipe)
        for seed in range(count)
    ]


@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("recipe", [{}, {"augmentation": "none", "batch_size": 36}, {"momentum": 0.0}])
def test_stacked_trainings_give_the_numbers_that_each_gives_alone(count: int, recipe: dict[str, object]) -> None:
    torch.set_num_threads(1)
    alone, stacked = ([*several(count, **recipe)] for _ in range(2))
    concurrent.train(stacked, lambda *_: True)
    for expected, training in zip(map(run, alone), stacked, strict=True):
        assert equal(expected.weights(), training.weights())
        assert torch.equal(expected.flat_parameters.momenta, training.flat_parameters.momenta)
        assert [row[:6] for row in map(row_of, expected.history)] == [row[:6] for row in map(row_of, training.history)]


def row_of(epoch) -> tuple[object, ...]:
    return tuple(vars(epoch).values())


@pytest.mark.parametrize("pruners", [["admm"], ["admm_constant"], ["admm", "admm_constant"]])
def test_stacked_admm_gives_the_numbers_that_each_gives_alone(dataset, pruners: list[str]) -> None:
    torch.set_num_threads(1)
    recipe = {"epochs": 4, "batch_size": 32, "augmentation": "none", "milestones": [0.5]}
    planned = plan_of(
        small_study(pruners=pruners, recipe=recipe, admm={"rounds": 4, "period": 1}, sparsities=[0.5, 0.8])
    )
    weights = MemoryWeights()
    dense = next(stage for stage in planned.stages.values() if stage.kind == "pretrain")
    run_stage(dense, dataset, weights, CPU, Listener())

    def admm() -> list[Training]:
        stages = [stage for stage in planned.stages.values() if stage.kind == "admm"]
        return [prepare(stage, dataset, weights, CPU)[2] for stage in stages]

    stacked = admm()
    assert len(stacked) == 2 * len(pruners)
    concurrent.train(stacked, lambda *_: True)
    for expected, training in zip(map(run, admm()), stacked, strict=True):
        assert equal(expected.weights(), training.weights())
        assert expected.penalty.residuals == training.penalty.residuals
        assert len(expected.penalty.residuals) == 4


def test_a_training_that_leaves_its_stack_gives_the_same_numbers() -> None:
    torch.set_num_threads(1)
    alone, stacked = several(1)[0], several(2)
    concurrent.side_by_side(stacked)
    alone.run_epoch()
    assert alone.run_epoch().train_loss == stacked[0].run_epoch().train_loss
    assert equal(alone.weights(), stacked[0].weights())


def test_a_diverged_network_does_not_affect_the_others_of_its_stack() -> None:
    fine, lost = training_of(), training_of(rate=1e9, sparsity=None)
    concurrent.side_by_side([fine, lost])
    assert fine.history[0].train_loss == training_of().run_epoch().train_loss
    assert not lost.history


def test_only_fp32_networks_of_linear_layers_and_relu_can_be_stacked() -> None:
    assert can_stack(training_of())
    assert not can_stack(training_of(precision="bf16"))
    assert not can_stack(training_of("resnet20"))
    layers = {"relu": nn.ReLU(), "fc3": nn.Linear(100, 4)}
    for network in (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 4, bias=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 4)),
        nn.ModuleDict(layers),
    ):
        training = training_of()
        training.network = network
        assert not can_stack(training)
    training.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    assert can_stack(training)


def test_the_capacity_of_a_stack_is_measured() -> None:
    capacity = concurrent.how_many(lambda: training_of(batch_size=8), CPU).fastest
    assert capacity in (1, 2, 4, 8, 16, 32)


def test_a_stack_trains_each_network_on_its_own_batch() -> None:
    trainings = several(2)
    for training in trainings:
        training.begin_epoch()
    Stack(trainings).step(32)
    alone = several(2)
    for expected, stacked in zip(alone, trainings, strict=True):
        expected.begin_epoch()
        expected.step(32)
        assert torch.equal(expected.flat_parameters.values, stacked.flat_parameters.values)
