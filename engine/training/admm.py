"""ADMM pruning: training pulled towards the nearest sparse network (Zhang et al., ECCV 2018)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.masks import magnitude_mask
from engine.registry import Scope
from engine.training.flat_parameters import FlatParameters

# With an automatic rho, one round lasts this many time constants of the pull towards Z.
TIME_CONSTANTS = 3.0
# An automatic rho of the first round is this fraction of the last round's. With a tenth the support moves less, with a
# thousandth hardly more, and the residual ends higher (benchmarks/README.md). No fingerprint contains this value, so a
# new value needs a new ENGINE_VERSION.
START_FRACTION = 0.01


def automatic_rho(learning_rate: float, momentum: float, steps: int) -> float:
    """Return the rho for which `steps` steps of SGD shrink W - Z + U by exp(-3) where the loss is flat."""
    return TIME_CONSTANTS * (1 - momentum) / (learning_rate * steps)


def growing_rho(start: float | None, end: float | None, automatic: float, rounds: int) -> tuple[float, float]:
    """Return the first round's rho, and the factor by which it grows from round to round.

    start, end: the first and the last round's rho. None means automatic: an end of `automatic`, or of start if that is
    larger; a start of START_FRACTION of the end. A single round has the rho of the end.
    """
    last = end or max(automatic, start or 0.0)
    first = start or START_FRACTION * last
    return (first, (last / first) ** (1 / (rounds - 1))) if rounds > 1 else (last, 1.0)


class AdmmPenalty:
    """The term rho/2 * |W - Z + U|^2 of the scaled augmented Lagrangian, and its updates of Z and U.

    Z is the projection of W + U onto the sparsity budget, U the running sum of W - Z; Z starts from the network's
    weights, and U from 0. period: epochs in a round. residuals: the primal residual |W - Z| / |W| after each round.

    rho: that of the first round, at learning_rate; it grows by the factor growth after each round. While it is small,
    the loss moves the weights, and others can become the largest of W + U; once it is large, W meets Z. When the
    learning rate drops, rho rises by the same factor: the pull towards Z stays as fast while the loss and the noise of
    its gradients move the weights less, so that the residual can go on falling.
    """

    def __init__(
        self,
        flat_parameters: FlatParameters,
        layers: tuple[str, ...],
        sparsity: float,
        scope: Scope,
        *,
        rho: float,
        learning_rate: float,
        period: int,
        growth: float = 1.0,
    ) -> None:
        self._flat_parameters = flat_parameters
        self._layers = layers
        self._sparsity = sparsity
        self._scope = scope
        self._rho = rho
        # The copy of rho on the device is a tensor, because a recorded step must read its present value.
        self._weight = torch.tensor(rho, dtype=torch.float32, device=flat_parameters.values.device)
        self._learning_rate = learning_rate
        self._period = period
        self._growth = growth
        self._prunable = flat_parameters.join({layer: torch.ones(()) for layer in layers}, fill=0.0)
        self._u = torch.zeros_like(flat_parameters.values)
        self._z = self._project(flat_parameters.values * self._prunable)
        self.residuals: list[float] = []

    def follow(self, learning_rate: float) -> None:
        """Change rho so that its product with the learning rate stays the same."""
        if learning_rate != self._learning_rate:
            self._multiply_rho(self._learning_rate / learning_rate)
            self._learning_rate = learning_rate

    def add_gradient(self) -> None:
        """Add the penalty's gradient, rho * (W - Z + U), to the prunable weights' gradients."""
        pull = (self._flat_parameters.values * self._prunable).sub_(self._z).add_(self._u)
        self._flat_parameters.gradients.addcmul_(pull, self._weight)

    def end_epoch(self, epoch: int) -> None:
        """Update Z, U and rho where a round ends with this epoch, counted from 1."""
        if epoch % self._period:
            return
        weights = self._flat_parameters.values * self._prunable
        # A recorded step reads this tensor, so it must be changed in place.
        self._z.copy_(self._project(weights + self._u))
        gap = weights - self._z
        self._u += gap
        self.residuals.append(float(gap.norm() / weights.norm().clamp(min=1e-12)))
        if self._growth != 1:
            self._multiply_rho(self._growth)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that resuming needs."""
        return {
            "admm/z": self._z.cpu(),
            "admm/u": self._u.cpu(),
            "admm/settings": torch.tensor([self._rho, self._learning_rate], dtype=torch.float64),
            "admm/residuals": torch.tensor(self.residuals, dtype=torch.float64),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self._z.copy_(state["admm/z"])
        self._u.copy_(state["admm/u"])
        self._rho, self._learning_rate = state["admm/settings"].tolist()
        self._weight.fill_(self._rho)
        self.residuals = state["admm/residuals"].tolist()

    def _multiply_rho(self, factor: float) -> None:
        """Multiply rho by a factor, and divide U, the dual variable scaled by 1 / rho, by it."""
        self._rho *= factor
        self._weight.fill_(self._rho)
        self._u /= factor

    def _project(self, buffer: Tensor) -> Tensor:
        views = self._flat_parameters.split(buffer)
        mask = magnitude_mask({layer: views[layer] for layer in self._layers}, self._sparsity, self._scope)
        return buffer * self._flat_parameters.join(mask, fill=0.0)
