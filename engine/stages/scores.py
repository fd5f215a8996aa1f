"""The scores that pruners rank weights by, and the masks that follow from them."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name

import torch
from torch import Tensor

from engine.masks import Mask, keep_largest
from engine.registry import SCORES, Need, Scope
from engine.seeds import stream

# From a layer's name, its trained weights, the study's seed, and by keyword what its entry in SCORES needs, each of the
# weights' shape, to one score per weight. The largest scores stay; a score may be negative.
ScoreFunction = Callable[..., Tensor]


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
    needed: Mapping[Need, Mapping[str, Tensor]] | None = None,
) -> Mask:
    """Return the mask of a score (a name in SCORES) at a sparsity; see `engine.masks.magnitude_mask` for the rest.

    needed: for each name in the score's needs, layer name -> tensor. ValueError for scores that cannot be ranked.
    """
    function: ScoreFunction = resolve_name(SCORES[score].function)
    scores: dict[str, Tensor] = {}
    for layer, tensor in weights.items():
        also = {name: layers[layer] for name, layers in (needed or {}).items()}
        scores[layer] = _checked(score, layer, tensor, function(layer, tensor, seed, **also))
    return keep_largest(_from_zero(scores), sparsity, scope, within)


def _checked(score: str, layer: str, weights: Tensor, scores: Tensor) -> Tensor:
    """Return a layer's scores; ValueError unless there is a number for each weight."""
    if scores.shape != weights.shape:
        raise ValueError(
            f"the score {score} gives {layer} scores of shape {tuple(scores.shape)}; allowed: one for each weight, "
            f"{tuple(weights.shape)}"
        )
    if bool(scores.isnan().any()):
        raise ValueError(f"the score {score} gives weights of {layer} no number (NaN), which cannot be ranked")
    return scores.detach()


def _from_zero(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return scores of at least 0 as they are; of others their ranks over all layers, from 1 for the smallest."""
    if all(bool((tensor >= 0).all()) for tensor in scores.values()):
        return scores
    joined = torch.cat([tensor.flatten() for tensor in scores.values()])
    order = torch.sort(joined, descending=True, stable=True).indices
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), 0, -1, device=order.device))
    parts = ranks.split([tensor.numel() for tensor in scores.values()])
    return {layer: part.view(tensor.shape) for (layer, tensor), part in zip(scores.items(), parts, strict=True)}
