"""The correlation indicator of the paper: how far the largest weights of two networks coincide (section 3, R_p)."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from engine.counts import Count, pooled, top_count
from engine.ranking import levels


def overlap_counts(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    ps: Iterable[float],
    mask: Mapping[str, Tensor] | None = None,
    held: Mapping[str, Tensor] | None = None,
) -> list[Count]:
    """Return the counts behind R_p for every p and layer, from one ranking per layer and network.

    a, b: layer name -> weights, any shape, the same names and shapes in both. mask: layer name -> 0/1 of the same
    shape; with a mask, only the weights that it keeps are ranked (figures 4-6). Equal magnitudes rank by position.
    Without a mask, a p for which some layer has fewer than p*N nonzero weights is left out (a pruned network has only
    the weights that it keeps: the paper requires p < 1 - sparsity, appendix F). held: the mask that a was trained
    under, allowed only without mask; it adds to each count the intersection that `mask_alone` returns.
    Raises ValueError when names or shapes differ, or a p is not within (0, 1].
    """
    _check(a, b, mask, held)
    fractions = sorted(ps)
    for p in fractions:
        if not 0 < p <= 1:
            raise ValueError(f"p is {p:g}; allowed: above 0, at most 1")
    if not a:
        return []
    pairs = {
        layer: [_flat(tensor, None if mask is None else mask[layer]) for tensor in (a[layer], b[layer])] for layer in a
    }
    sizes = {layer: pair[0].numel() for layer, pair in pairs.items()}
    if mask is None:
        fractions = _possible(fractions, pairs)
    tops = {layer: [top_count(p, size) for p in fractions] for layer, size in sizes.items()}
    ranks = {layer: levels(second, tops[layer]) for layer, (_, second) in pairs.items()}
    # An index is in both sets exactly when it is in the set that ranks it lower.
    lower = [torch.maximum(levels(first, tops[layer]), ranks[layer]) for layer, (first, _) in pairs.items()]
    shared = dict(zip(a, _cumulated(lower, len(fractions)).tolist(), strict=True))
    expected = None if held is None else _expected(held, ranks, tops)
    return [
        Count(
            layer, p, shared[layer][i], tops[layer][i], sizes[layer], None if expected is None else expected[layer][i]
        )
        for layer in a
        for i, p in enumerate(fractions)
    ]


def mask_alone(
    mask: Mapping[str, Tensor], b: Mapping[str, Tensor], ps: Sequence[float]
) -> dict[str, dict[float, float]]:
    """Return the mean intersection with b's top p of weights that are ordered at random within a mask.

    mask: layer name -> 0/1; b: layer name -> weights of the same shape; ps: each within (0, 1]. Any order of the
    weights that the mask keeps is equally likely, and the others rank below them, so each kept weight is among the
    k = p*N largest with probability k / |mask|. Exact where the mask keeps at least k weights. Returns layer name ->
    p -> k * |mask and top k of b| / |mask|. Raises ValueError as `overlap_counts` does.
    """
    _check(mask, b, None, None)
    ps = sorted(ps)
    tops = {layer: [top_count(p, tensor.numel()) for p in ps] for layer, tensor in b.items()}
    expected = _expected(mask, {layer: levels(tensor, tops[layer]) for layer, tensor in b.items()}, tops) if b else {}
    return {layer: dict(zip(ps, values, strict=True)) for layer, values in expected.items()}


def overlap_ratio(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], p: float, mask: Mapping[str, Tensor] | None = None
) -> float:
    """Return R_p(a, b), the fraction of the p largest magnitudes that two networks share, pooled over layers.

    Arguments and errors are those of `overlap_counts`; a p for which a layer has too few nonzero weights raises
    ValueError too. Independent weights give p, equal ones 1. Source: section 3, R_p; N_l per appendix D and F.
    """
    counts = overlap_counts(a, b, [p], mask)
    if not counts:
        raise ValueError(
            f"p is {p:g}, but a layer has fewer nonzero weights than p of its size; "
            "choose p at most 1 - sparsity, or give the mask to rank kept weights only"
        )
    return pooled(counts)


def _cumulated(ranks: Sequence[Tensor], tops: int) -> Tensor:
    """Return how many weights are in each top, (layers, tops); ranks: the weights' levels, layer by layer."""
    bins = [level.int() + number * (tops + 1) for number, level in enumerate(ranks)]
    # One read for all layers: each read of numbers on a GPU waits for all work that is queued there.
    filled = torch.bincount(torch.cat(bins), minlength=len(bins) * (tops + 1))
    return filled.view(len(bins), -1).cumsum(1)[:, :-1]


def _expected(
    mask: Mapping[str, Tensor], ranks: Mapping[str, Tensor], tops: Mapping[str, Sequence[int]]
) -> dict[str, list[float]]:
    """Return the expected intersections by layer; ranks: the levels of the other network's weights, by layer."""
    count = len(next(iter(tops.values())))
    # Weights outside the mask get the last level, which is in no top; maximum is vectorised, masked_fill is not.
    inside = [
        torch.maximum(level, (mask[layer].flatten() == 0).to(level.dtype).mul_(count)) for layer, level in ranks.items()
    ]
    sizes = torch.stack([torch.count_nonzero(mask[layer]) for layer in ranks]).tolist()
    # A mask that keeps no weight of a layer shares none.
    return {
        layer: [top * both / size if size else 0.0 for top, both in zip(tops[layer], shared, strict=True)]
        for layer, size, shared in zip(ranks, sizes, _cumulated(inside, count).tolist(), strict=True)
    }


def _flat(tensor: Tensor, keep: Tensor | None) -> Tensor:
    flat = tensor.detach().flatten()
    return flat if keep is None else flat[keep.flatten().bool()]


def _possible(ps: list[float], pairs: Mapping[str, list[Tensor]]) -> list[float]:
    """Return the p for which all layers of both networks have enough weights that are not 0."""
    fewest = [torch.stack([torch.count_nonzero(tensor) for tensor in pair]).min() for pair in pairs.values()]
    nonzero = dict(zip(pairs, torch.stack(fewest).tolist(), strict=True))
    return [p for p in ps if all(top_count(p, pair[0].numel()) <= nonzero[layer] for layer, pair in pairs.items())]


def _check(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None,
    held: Mapping[str, Tensor] | None,
) -> None:
    if mask is not None and held is not None:
        raise ValueError("mask and held are both set; give mask to rank kept weights only, or held to rank all")
    for other, name in ((b, "the second network"), (mask, "the mask"), (held, "the mask that is held")):
        if other is None:
            continue
        if set(other) != set(a):
            differing = ", ".join(sorted(set(a) ^ set(other)))
            raise ValueError(f"the first network and {name} differ in these layers: {differing}")
        for layer, weights in a.items():
            if other[layer].shape != weights.shape:
                raise ValueError(
                    f"layer {layer} has shape {tuple(weights.shape)} in the first network "
                    f"and {tuple(other[layer].shape)} in {name}"
                )
