"""Two pruners that rank weights by what training did to them, not by their size."""

from torch import Tensor

from engine.registry import PRUNERS, SCORES, Pruner, Score


def movement(layer: str, weights: Tensor, seed: int, movement: Tensor) -> Tensor:
    """Score a weight by how far the loss pushed it away from 0 during training (Sanh et al. 2020)."""
    return movement


def increase(layer: str, weights: Tensor, seed: int, initial: Tensor) -> Tensor:
    """Score a weight by how much its magnitude grew during training (Zhou et al. 2019)."""
    return weights.abs() - initial.abs()


SCORES["movement"] = Score(movement, needs=("movement",))
SCORES["increase"] = Score(increase, needs=("initial",))
PRUNERS["movement"] = Pruner("movement", "Keeps what training moves away from 0.", score="movement")
PRUNERS["increase"] = Pruner("magnitude increase", "Keeps the weights that grew most.", score="increase", gradual=True)
