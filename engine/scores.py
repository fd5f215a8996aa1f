"""The scores that pruners rank weights by, and the masks that follow from them."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name

import torch
from torch import Tensor

from engine.masks import Mask, keep_largest
from engine.registry import SCORES, Scope
from engine.seeds import stream

# From a layer's name, its trained weights and the study's seed to one score of at least 0 per weight.
ScoreFunction = Callable[[str, Tensor, int], Tensor]


def magnitude(layer: str, weights: Tensor, seed: int) -> Tensor:
    """Score a weight by its magnitude."""
    return weights.detach().abs()


def random(layer: str, weights: Tensor, seed: int) -> Tensor:
    """Score weights at random: the control that any informed pruner has to beat."""
    drawn = torch.rand(weights.shape, generator=stream(seed, "random pruning", layer))
    return drawn.to(weights.device)


def make_mask(
    score: str,
    weights: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope,
    within: Mapping[str, Tensor] | None,
    seed: int,
) -> Mask:
    """Return the mask of a score (a name in SCORES) at a sparsity; see `engine.masks.magnitude_mask` for the rest."""
    function: ScoreFunction = resolve_name(SCORES[score].function)
    scores = {layer: function(layer, tensor, seed) for layer, tensor in weights.items()}
    return keep_largest(scores, sparsity, scope, within)
