import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.masks import sparsity
from engine.models.networks import prunable
from engine.training.admm import START_FRACTION, AdmmPenalty, automatic_rho, growing_rho
from tests.engine.training.test_sgd import equal, run, training_of


def admm_training(epochs: int = 12, period: int = 2, **settings):
    training = training_of(sparsity=None, epochs=epochs, augmentation="none", milestones=[])
    layers = prunable(training.network)
    settings = {"rho": automatic_rho(0.05, 0.9, steps=3 * period), "learning_rate": 0.05, "period": period, **settings}
    training.penalty = AdmmPenalty(training.flat_parameters, layers, 0.8, "layer", **settings)
    return training


def test_the_primal_residual_falls() -> None:
    training = admm_training(epochs=120, period=10)
    run(training)
    residuals = training.penalty.residuals
    assert len(residuals) == 12
    assert max(residuals[-4:]) < residuals[0] / 10
    assert sum(b < a for a, b in itertools.pairwise(residuals)) >= 9


def test_z_has_the_sparsity_and_is_zero_outside_prunable_layers() -> None:
    training = admm_training()
    run(training)
    z = training.flat_parameters.split(training.penalty._z)
    layers = prunable(training.network)
    assert sparsity({layer: z[layer] != 0 for layer in layers}) == pytest.approx(0.8, abs=0.01)
    assert all(not z[name].any() for name in z if name not in layers)


def test_the_gradient_equals_that_of_the_penalty() -> None:
    training = admm_training(rho=0.5)
    penalty = training.penalty
    penalty._u = torch.randn(penalty._u.shape, generator=torch.Generator().manual_seed(0)) * penalty._prunable
    w = training.flat_parameters.values.clone().requires_grad_()
    gap = (w - penalty._z + penalty._u) * penalty._prunable
    (0.5 / 2 * gap.square().sum()).backward()
    training.flat_parameters.gradients.zero_()
    penalty.add_gradient()
    torch.testing.assert_close(training.flat_parameters.gradients, w.grad)


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


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_resumed_admm_with_growing_rho_equals_uninterrupted_bit_for_bit(epochs: int) -> None:
    whole = admm_training(epochs=6, rho=0.02, growth=3.0)
    run(whole)
    first = admm_training(epochs=6, rho=0.02, growth=3.0)
    run(first, epochs)
    second = admm_training(epochs=6, rho=0.02, growth=3.0)
    second.load(first.state())
    run(second)
    assert second.penalty.residuals == whole.penalty.residuals
    assert equal(whole.state() | {"history": torch.zeros(1)}, second.state() | {"history": torch.zeros(1)})


class Plain(AdmmPenalty):
    """The penalty with rho as a Python number rather than a tensor on the device."""

    def add_gradient(self) -> None:
        pull = (self._flat_parameters.values * self._prunable).sub_(self._z).add_(self._u)
        self._flat_parameters.gradients.add_(pull, alpha=self._rho)


def test_a_constant_rho_on_the_device_equals_a_number() -> None:
    ours, before = admm_training(epochs=6), admm_training(epochs=6)
    before.penalty.__class__ = Plain
    run(ours)
    run(before)
    assert ours.penalty.residuals == before.penalty.residuals
    assert equal(ours.weights(), before.weights())


rhos = st.floats(1e-6, 10)


@settings(deadline=None)
@given(st.none() | rhos, st.none() | rhos, rhos, st.integers(2, 1000))
def test_rho_grows_by_a_constant_factor_from_its_start_to_its_end(
    start: float | None, end: float | None, automatic: float, rounds: int
) -> None:
    if start is not None and end is not None:
        start, end = sorted((start, end))
    first, growth = growing_rho(start, end, automatic, rounds)
    last = first * growth ** (rounds - 1)
    assert growth >= 1
    assert last == pytest.approx(end if end is not None else max(automatic, start or 0.0))
    assert first == pytest.approx(start if start is not None else START_FRACTION * last)


def test_a_single_round_has_the_last_rho() -> None:
    assert growing_rho(None, None, 0.5, rounds=1) == (0.5, 1.0)


def test_growth_of_rho_keeps_the_dual_variable_and_the_first_round() -> None:
    training = admm_training(epochs=4, rho=0.02, growth=5.0)
    penalty = training.penalty
    training.run_epoch()
    assert (penalty._rho, float(penalty._weight)) == pytest.approx((0.02, 0.02))
    training.run_epoch()
    assert (penalty._rho, float(penalty._weight)) == pytest.approx((0.1, 0.1))
    # After the first round the dual variable is rho * (W - Z), with the rho of that round.
    gap = training.flat_parameters.values * penalty._prunable - penalty._z
    torch.testing.assert_close(penalty._rho * penalty._u, 0.02 * gap)


def test_a_lower_learning_rate_keeps_the_pull_and_the_dual_variable() -> None:
    training = admm_training(epochs=4, rho=0.5)
    run(training)
    penalty = training.penalty
    dual, pull = penalty._rho * penalty._u, penalty._rho * penalty._learning_rate
    penalty.follow(0.005)
    assert penalty._rho * 0.005 == pytest.approx(pull)
    torch.testing.assert_close(penalty._rho * penalty._u, dual)
