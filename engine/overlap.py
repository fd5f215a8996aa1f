"""The correlation indicator of the paper: how far the largest weights of two networks coincide (section 3, R_p)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.ranking import ranked

# Every p that is recorded. A study shows some of them; recording all makes p no part of a training's identity.
P_GRID: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class Count:
    """How the top-p index sets of one layer of two networks coincide.

    intersection: indices in both sets; top: indices in each set, p*N rounded half up; size: N, the weights ranked.
    """

    layer: str
    p: float
    intersection: int
    top: int
    size: int


def top_count(p: float, size: int) -> int:
    """Return how many of `size` weights are the largest p of them: p * size, halves rounded up."""
    # The product is rounded first, since 0.15 * 10 and its like fall a hair beside the half.
    return math.floor(round(p * size, 6) + 0.5)


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
    tops: dict[str, list[int]] = {}
    sizes: list[int] = []
    bins: list[Tensor] = []
    nonzero: list[Tensor] = []
    for layer, weights in a.items():
        keep = mask[layer].flatten().bool() if mask is not None else None
        pair = [_flat(tensor, keep) for tensor in (weights, b[layer])]
        sizes.append(pair[0].numel())
        tops[layer] = [top_count(p, sizes[-1]) for p in wanted]
        bins.append(_bins(pair, tops[layer]) + len(bins) * (len(wanted) + 1))
        nonzero.append(torch.stack([torch.count_nonzero(tensor) for tensor in pair]).min())
    # Read once, at the end: each look at a GPU's numbers waits for all that it has still to do.
    filled = torch.bincount(torch.cat(bins), minlength=len(a) * (len(wanted) + 1))
    shared: list[list[int]] = filled.view(len(a), -1).cumsum(1)[:, :-1].tolist()
    there: list[int] = sizes if mask is not None else torch.stack(nonzero).tolist()
    possible = [all(row[i] <= most for row, most in zip(tops.values(), there, strict=True)) for i in range(len(wanted))]
    return [
        Count(layer, p, intersection, top, size)
        for (layer, row), size, found in zip(tops.items(), sizes, shared, strict=True)
        for p, top, intersection, fits in zip(wanted, row, found, possible, strict=True)
        if fits
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


def pooled(counts: Iterable[Count]) -> float:
    """Return the overlap ratio of some counts taken together: all shared indices over all indices of one set."""
    rows = list(counts)
    top = sum(count.top for count in rows)
    if top == 0:
        raise ValueError("no layer is large enough to hold a single weight of its top p; choose a larger p")
    return sum(count.intersection for count in rows) / top


def _flat(tensor: Tensor, keep: Tensor | None) -> Tensor:
    flat = tensor.detach().flatten()
    return flat if keep is None else flat[keep]


def _bins(pair: list[Tensor], tops: list[int]) -> Tensor:
    """Return for each index the number of tops, rising, that it is not in for one of two tensors or both."""
    size = pair[0].numel()
    # Written in the order of the ranking, all over the memory: the narrower, the more of it is at hand.
    narrow = torch.uint8 if len(tops) < 256 else torch.int32
    levels = torch.empty(size, dtype=narrow, device=pair[0].device)
    for level, (begin, end) in enumerate(pairwise((0, *tops, size))):
        levels[begin:end] = level
    # An index is in both sets exactly when the worse of its two places is.
    return torch.maximum(*(torch.empty_like(levels).scatter_(0, ranked(tensor), levels) for tensor in pair)).int()


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
