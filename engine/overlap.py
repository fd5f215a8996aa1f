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
    shape; where given, only the weights that it keeps are ranked (figures 4-6). Equal magnitudes rank by position.
    A p for which some layer holds fewer than p*N nonzero weights is left out (a pruned network holds only its kept
    weights: the paper asks p < 1 - sparsity, appendix F). held: the mask that a was trained under, where mask is not
    given; each count then has what a random order of a's weights within it shares with b, as `mask_alone` returns it.
    Raises ValueError when names or shapes differ, or a p is not within (0, 1].
    """
    _check(a, b, mask, held)
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
    worse, within = [], []
    for layer, (first, second) in pairs.items():
        of_second = levels(second, tops[layer])
        # An index is in both sets exactly when it is in that which ranks it worse.
        worse.append(torch.maximum(levels(first, tops[layer]), of_second))
        if held is not None:
            within.append(_outside_last(of_second, held[layer], len(wanted)))
    shared = dict(zip(a, _cumulated(worse, len(wanted)).tolist(), strict=True))
    expected = (
        None if held is None else _expected({layer: held[layer] for layer in a}, _cumulated(within, len(wanted)), tops)
    )
    return [
        Count(
            layer, p, shared[layer][i], tops[layer][i], sizes[layer], None if expected is None else expected[layer][i]
        )
        for layer in a
        for i, p in enumerate(wanted)
    ]


def mask_alone(
    mask: Mapping[str, Tensor], b: Mapping[str, Tensor], ps: Sequence[float]
) -> dict[str, dict[float, float]]:
    """Return the intersection with b's top p that weights have on average which know nothing but a mask.

    mask: layer name -> 0/1; b: layer name -> weights of the same shape; ps: each within (0, 1]. Any order of the
    weights that the mask keeps is equally likely, and the others rank below them, so each kept weight is among the
    k = p*N largest with probability k / |mask|. Exact for every p whose k the mask can fill. Returns layer name -> p ->
    k * |mask and top k of b| / |mask|. Raises ValueError as `overlap_counts` does.
    """
    _check(mask, b, None, None)
    wanted = sorted(ps)
    tops = {layer: [top_count(p, tensor.numel()) for p in wanted] for layer, tensor in b.items()}
    within = [_outside_last(levels(tensor, tops[layer]), mask[layer], len(wanted)) for layer, tensor in b.items()]
    expected = _expected({layer: mask[layer] for layer in b}, _cumulated(within, len(wanted)), tops) if b else {}
    return {layer: dict(zip(wanted, values, strict=True)) for layer, values in expected.items()}


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


def _cumulated(of_layers: Sequence[Tensor], tops: int) -> Tensor:
    """Return for each layer, from its weights' levels, how many weights are in each of some tops: layers x tops."""
    bins = [level.int() + number * (tops + 1) for number, level in enumerate(of_layers)]
    # Read once, at the end: each read of numbers on a GPU waits for all work that is queued there.
    filled = torch.bincount(torch.cat(bins), minlength=len(bins) * (tops + 1))
    return filled.view(len(bins), -1).cumsum(1)[:, :-1]


def _outside_last(level: Tensor, mask: Tensor, tops: int) -> Tensor:
    """Return levels with those of weights outside a mask set to the last, which is in no top."""
    # Vectorised, which filling by a mask is not.
    return torch.maximum(level, (mask.flatten() == 0).to(level.dtype).mul_(tops))


def _expected(masks: Mapping[str, Tensor], inside: Tensor, tops: Mapping[str, Sequence[int]]) -> dict[str, list[float]]:
    """Return by layer the expected intersections; inside: how many weights of each top the mask keeps."""
    kept = torch.stack([torch.count_nonzero(mask) for mask in masks.values()]).tolist()
    rows = zip(masks, kept, inside.tolist(), strict=True)
    # A layer without a weight left shares none.
    return {
        layer: [top * both / size if size else 0.0 for top, both in zip(tops[layer], shared, strict=True)]
        for layer, size, shared in rows
    }


def _flat(tensor: Tensor, keep: Tensor | None) -> Tensor:
    flat = tensor.detach().flatten()
    return flat if keep is None else flat[keep.flatten().bool()]


def _possible(ps: list[float], pairs: Mapping[str, list[Tensor]]) -> list[float]:
    """Return those p for which all layers of both networks hold enough weights that are not 0."""
    fewest = [torch.stack([torch.count_nonzero(tensor) for tensor in pair]).min() for pair in pairs.values()]
    there = dict(zip(pairs, torch.stack(fewest).tolist(), strict=True))
    return [p for p in ps if all(top_count(p, pair[0].numel()) <= there[layer] for layer, pair in pairs.items())]


def _check(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None,
    held: Mapping[str, Tensor] | None,
) -> None:
    if mask is not None and held is not None:
        raise ValueError("mask and held are both given; give mask to rank kept weights only, or held to rank all")
    for other, name in ((b, "the second network"), (mask, "the mask"), (held, "the mask that is held")):
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
