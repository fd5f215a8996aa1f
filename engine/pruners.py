"""Pruners: how a mask is made from trained weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.masks import Mask, Scope, keep_largest
from engine.seeds import stream

# From a layer's name, its trained weights and the study's seed to one score of at least 0 per weight.
Score = Callable[[str, Tensor, int], Tensor]


def magnitude(layer: str, weights: Tensor, seed: int) -> Tensor:
    """Score a weight by its magnitude."""
    return weights.detach().abs()


def random(layer: str, weights: Tensor, seed: int) -> Tensor:
    """Score weights at random: the control that any informed pruner has to beat."""
    drawn = torch.rand(weights.shape, generator=stream(seed, "random pruning", layer))
    return drawn.to(weights.device)


SCORES: dict[str, Score] = {"magnitude": magnitude, "random": random}


@dataclass(frozen=True)
class Pruner:
    """How a pruner works.

    score: name in SCORES. gradual: prune in rounds, one for each sparsity of the study, and train theta_0 * m between
    them; else prune theta_T once for each sparsity. admm: train with ADMM to the sparsity first, and score its weights.
    """

    title: str
    score: str = "magnitude"
    gradual: bool = False
    admm: bool = False


PRUNERS: dict[str, Pruner] = {
    "iterative": Pruner("iterative magnitude", gradual=True),
    "oneshot": Pruner("one-shot magnitude"),
    "admm": Pruner("ADMM", admm=True),
    "random": Pruner("random", score="random"),
}


def make_mask(
    score: str,
    weights: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope,
    within: Mapping[str, Tensor] | None,
    seed: int,
) -> Mask:
    """Return the mask of a score (a name in SCORES) at a sparsity; see `engine.masks.magnitude_mask` for the rest."""
    scores = {layer: SCORES[score](layer, tensor, seed) for layer, tensor in weights.items()}
    return keep_largest(scores, sparsity, scope, within)
