"""Masks: which prunable weights of a network are kept, and which are 0."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from engine.counts import kept_count
from engine.ranking import levels
from engine.registry import Scope

Mask = dict[str, Tensor]


def magnitude_mask(
    weights: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope = "layer",
    within: Mapping[str, Tensor] | None = None,
) -> Mask:
    """Return the mask that keeps the largest magnitudes.

    weights: layer name -> weights, any shape. sparsity: fraction of all weights to remove, in [0, 1). scope: "layer"
    removes that fraction of each layer, "global" that fraction of all layers ranked together. within: the mask of the
    previous round; only weights that it keeps can be kept again, so masks nest. Returns layer name -> bool of the same
    shape; it keeps exactly N - round(sparsity * N) weights, halves rounded up, and of equal magnitudes the first.
    Raises ValueError for a sparsity outside [0, 1), an unknown scope, or a previous mask that keeps too few weights.
    """
    return keep_largest({layer: tensor.detach().abs() for layer, tensor in weights.items()}, sparsity, scope, within)


def keep_largest(
    scores: Mapping[str, Tensor], sparsity: float, scope: Scope = "layer", within: Mapping[str, Tensor] | None = None
) -> Mask:
    """Return the mask that keeps the weights of largest score, each at least 0; see `magnitude_mask` for the rest."""
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity is {sparsity:g}; allowed: from 0 up to, not including, 1")
    if scope == "layer":
        return {
            layer: _keep(tensor, sparsity, None if within is None else within[layer], layer)
            for layer, tensor in scores.items()
        }
    if scope == "global":
        joined = torch.cat([tensor.flatten() for tensor in scores.values()])
        joined_within = None if within is None else torch.cat([within[layer].flatten() for layer in scores])
        mask = _keep(joined, sparsity, joined_within, "all layers together")
        parts = mask.split([tensor.numel() for tensor in scores.values()])
        return {layer: part.view(tensor.shape) for (layer, tensor), part in zip(scores.items(), parts, strict=True)}
    raise ValueError(f"scope is {scope!r}; allowed: layer, global")


def sparsity(mask: Mapping[str, Tensor]) -> float:
    """Return the fraction of a mask's entries, which are the prunable weights, that are 0."""
    total = sum(tensor.numel() for tensor in mask.values())
    if total == 0:
        raise ValueError("the mask is empty; give one tensor for each prunable layer")
    nonzero = sum(int(torch.count_nonzero(tensor)) for tensor in mask.values())
    return (total - nonzero) / total


def content_hash(mask: Mapping[str, Tensor]) -> str:
    """Return 32 hex digits that are equal for two masks exactly when names, shapes and kept weights are equal.

    mask: layer name -> 0/1, on any device and in any order.
    """
    digest = hashlib.blake2b(digest_size=16)
    for layer in sorted(mask):
        tensor = mask[layer].detach().cpu().bool()
        # The shape delimits the bits of each layer.
        digest.update(json.dumps([layer, list(tensor.shape)]).encode() + b"\n")
        digest.update(np.packbits(tensor.contiguous().numpy()).tobytes())
    return digest.hexdigest()


def _keep(scores: Tensor, sparsity: float, within: Tensor | None, where: str) -> Tensor:
    # Ranks are whole numbers, of which 32-bit floats hold only 16 million.
    flat = scores.flatten()
    flat = flat.float() if flat.is_floating_point() else flat
    count = kept_count(sparsity, flat.numel())
    if within is None:
        return (levels(flat, [count]) == 0).view(scores.shape)
    previous = within.flatten().bool()
    remaining = int(previous.sum())
    if count > remaining:
        raise ValueError(
            f"{where}: {count} of {flat.numel()} weights should stay at sparsity {sparsity:g}, "
            f"but the previous mask keeps only {remaining}; prune to rising sparsities"
        )
    return previous.masked_scatter(previous, levels(flat[previous], [count]) == 0).view(scores.shape)
