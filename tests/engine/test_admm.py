import itertools

import pytest
import torch

from engine.admm import AdmmPenalty, automatic_rho
from engine.masks import sparsity
from engine.networks import prunable
from tests.engine.test_training import equal, run, training_of


def admm_training(epochs: int = 12, period: int = 2, **settings):
    training = training_of(sparsity=None, epochs=epochs, augmentation="none", milestones=[])
    layers = prunable(training.network)
    settings = {"rho": automatic_rho(0.05, 0.9, steps=3 * period), "learning_rate": 0.05, "period": period, **settings}
    training.penalty = AdmmPenalty(training.flat, layers, 0.8, "layer", **settings)
    return training


def test_the_primal_residual_falls() -> None:
    training = admm_training(epochs=120, period=10)
    run(training)
    residuals = training.penalty.residuals
    assert len(residuals) == 12
    assert max(residuals[-4:]) < residuals[0] / 10
    assert sum(b < a for a, b in itertools.pairwise(residuals)) >= 9


def test_z_meets_the_budget_and_is_nearest_in_each_layer() -> None:
    training = admm_training()
    run(training)
    z = training.flat.split(training.penalty._z)
    layers = prunable(training.network)
    assert sparsity({layer: z[layer] != 0 for layer in layers}) == pytest.approx(0.8, abs=0.01)
    assert all(not z[name].any() for name in z if name not in layers)


def test_the_gradient_is_that_of_the_penalty() -> None:
    training = admm_training(rho=0.5)
    penalty = training.penalty
    penalty._u = torch.randn(penalty._u.shape, generator=torch.Generator().manual_seed(0)) * penalty._prunable
    w = training.flat.values.clone().requires_grad_()
    gap = (w - penalty._z + penalty._u) * penalty._prunable
    (0.5 / 2 * gap.square().sum()).backward()
    training.flat.gradients.zero_()
    penalty.add_gradient()
    torch.testing.assert_close(training.flat.gradients, w.grad)


def test_resumed_admm_equals_uninterrupted_bit_for_bit() -> None:
    whole = admm_training(epochs=6)
    run(whole)
    first = admm_training(epochs=6)
    run(first, 3)
    second = admm_training(epochs=6)
    second.load(first.state())
    run(second)
    assert second.penalty.residuals == whole.penalty.residuals
    assert equal(whole.state() | {"history": torch.zeros(1)}, second.state() | {"history": torch.zeros(1)})


def test_a_lower_learning_rate_leaves_the_pull_and_the_dual_variable_as_they_are() -> None:
    training = admm_training(epochs=4, rho=0.5)
    run(training)
    penalty = training.penalty
    dual, pull = penalty._rho * penalty._u, penalty._rho * penalty._learning_rate
    penalty.follow(0.005)
    assert penalty._rho * 0.005 == pytest.approx(pull)
    torch.testing.assert_close(penalty._rho * penalty._u, dual)
