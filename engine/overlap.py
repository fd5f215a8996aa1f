"""The correlation indicator of the paper: how far the largest weights of two networks coincide (section 3, R_p)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from engine.counts import Count, pooled, top_count
from engine.ranking import levels


def overlap_counts(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], ps: Iterable[float], mask: Mapping[str, Tensor] | None = None
) -> list[Count]:
    """Return the counts behind R_p for every p and layer, from one ranking per layer and network.

    a, b: layer name -> weights, any shape, the same names and shapes in both. mask: layer name -> 0/1 of the same
    shape; where given, only the weights that it keeps are ranked (figures 4-6). Equal magnitudes rank by position.
    A p for which some layer holds fewer than p*N nonzero weights is left out (a pruned network holds only its kept
    weights: the paper asks p < 1 - sparsity, appendix F).
    Raises ValueError when names or shapes differ, or a p is not within (0, 1].
    """
    _check(a, b, mask)
    wanted = sorted(ps)
    for p in wanted:
        if not 0 < p <= 1:
            raise ValueError(f"p is {p:g}; allowed: above 0, at most 1")
    if not a:
        return []
    pairs = {
        layer: [_flat(tensor, None if mask is None else mask[layer]) for tensor in (a[layer], b[layer])] for layer in a
    }
    sizes = {layer: pair[0].numel() for layer, pair in pairs.items()}
    if mask is None:
        wanted = _possible(wanted, pairs)
    tops = {layer: [top_count(p, size) for p in wanted] for layer, size in sizes.items()}
    bins = []
    for number, (layer, pair) in enumerate(pairs.items()):
        # An index is in both sets exactly when it is in that which ranks it worse.
        worse = torch.maximum(*(levels(tensor, tops[layer]) for tensor in pair))
        bins.append(worse.int() + number * (len(wanted) + 1))
    # Read once, at the end: each look at a GPU's numbers waits for all that it has still to do.
    filled = torch.bincount(torch.cat(bins), minlength=len(a) * (len(wanted) + 1))
    shared = dict(zip(a, filled.view(len(a), -1).cumsum(1)[:, :-1].tolist(), strict=True))
    return [
        Count(layer, p, intersection, top, sizes[layer])
        for layer in a
        for p, intersection, top in zip(wanted, shared[layer], tops[layer], strict=True)
    ]


def overlap_ratio(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], p: float, mask: Mapping[str, Tensor] | None = None
) -> float:
    """Return R_p(a, b), the fraction of the p largest magnitudes that two networks share, pooled over layers.

    Arguments and errors are those of `overlap_counts`; a p that a pruned network cannot fill raises ValueError too.
    Independent weights give p, equal ones 1. Source: section 3, R_p; N_l per appendix D and F.
    """
    counts = overlap_counts(a, b, [p], mask)
    if not counts:
        raise ValueError(
            f"p is {p:g}, but a layer holds fewer nonzero weights than p of its size; "
            "choose p at most 1 - sparsity, or give the mask to rank kept weights only"
        )
    return pooled(counts)


def _flat(tensor: Tensor, keep: Tensor | None) -> Tensor:
    flat = tensor.detach().flatten()
    return flat if keep is None else flat[keep.flatten().bool()]


def _possible(ps: list[float], pairs: Mapping[str, list[Tensor]]) -> list[float]:
    """Return those p for which all layers of both networks hold enough weights that are not 0."""
    fewest = [torch.stack([torch.count_nonzero(tensor) for tensor in pair]).min() for pair in pairs.values()]
    there = dict(zip(pairs, torch.stack(fewest).tolist(), strict=True))
    return [p for p in ps if all(top_count(p, pair[0].numel()) <= there[layer] for layer, pair in pairs.items())]


def _check(a: Mapping[str, Tensor], b: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None) -> None:
    for other, name in ((b, "the second network"), (mask, "the mask")):
        if other is None:
            continue
        if set(other) != set(a):
            odd = ", ".join(sorted(set(a) ^ set(other)))
            raise ValueError(f"the first network and {name} differ in these layers: {odd}")
        for layer, weights in a.items():
            if other[layer].shape != weights.shape:
                raise ValueError(
                    f"layer {layer} has shape {tuple(weights.shape)} in the first network "
                    f"and {tuple(other[layer].shape)} in {name}"
                )
