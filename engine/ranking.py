"""Ranking weights by magnitude, for masks and overlaps."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

# For each float type, the integer type of the same width, and the smallest bit pattern of NaN, one above infinity's.
_BITS = {torch.float32: (torch.int32, 0x7F80_0001), torch.float64: (torch.int64, 0x7FF0_0000_0000_0001)}
# The number of weights below which sorting is faster than counting.
FEW = 1 << 16


def levels(weights: Tensor, tops: Sequence[int]) -> Tensor:
    """Return for each weight its level: the number of tops that it is not in, where a top is the k largest magnitudes.

    weights: any shape, read row by row. tops: every k, rising, at most N. Returns integers of shape (N,) on the same
    device. Of equal magnitudes the first position ranks first; NaN ranks above infinity.
    """
    keys = _keys(weights)
    # A GPU sorts fast, and counting would make the CPU wait for it.
    sorts = keys.numel() < FEW or keys.device.type != "cpu"
    return _sorted(keys, tops) if sorts else _counted(keys, tops)


def _keys(weights: Tensor) -> Tensor:
    """Return integers of at least 0 that rise as magnitudes fall."""
    exact = torch.float32 if weights.is_floating_point() and weights.itemsize <= 4 else torch.float64
    whole, nan = _BITS[exact]
    # The bit patterns of non-negative floats have the order of the floats. NaN has many patterns, which rank as one.
    return weights.detach().flatten().to(exact).abs().view(whole).clamp_(max=nan).neg_().add_(nan)


def _sorted(keys: Tensor, tops: Sequence[int]) -> Tensor:
    by_place = torch.empty(keys.numel(), dtype=_dtype(tops), device=keys.device)
    for level, (begin, end) in enumerate(pairwise((0, *tops, keys.numel()))):
        by_place[begin:end] = level
    return torch.empty_like(by_place).scatter_(0, torch.sort(keys, stable=True).indices, by_place)


def _counted(keys: Tensor, tops: Sequence[int]) -> Tensor:
    """Return the same as `_sorted`, but sort only the bins that a top ends in; the other bins have one level each."""
    # There are 65,536 bins, and most lie between the ends of two tops.
    coarse = keys >> (15 if keys.dtype == torch.int32 else 47)
    filled = torch.bincount(coarse, minlength=1)
    ends = filled.cumsum(0)
    begins = ends - filled
    bounds = torch.tensor(tops)
    level = torch.bucketize(begins, bounds, right=True)
    split = (filled > 0) & (level != torch.bucketize(ends - 1, bounds, right=True))
    unranked = len(tops) + 1
    ranked = torch.where(split, unranked, level).to(_dtype(tops)).index_select(0, coarse)
    chosen = (ranked == unranked).nonzero().flatten()
    chosen = chosen[torch.sort(keys[chosen], stable=True).indices]
    # The sorted weights lie bin by bin: `ahead` is how much further a bin begins among all weights than among these.
    among = torch.where(split, filled, 0)
    ahead = begins - (among.cumsum(0) - among)
    places = torch.arange(chosen.numel()) + ahead.index_select(0, coarse[chosen])
    ranked[chosen] = torch.bucketize(places, bounds, right=True).to(ranked.dtype)
    return ranked


def _dtype(tops: Sequence[int]) -> torch.dtype:
    # Levels are written at scattered places, and a narrower type keeps more of them in the cache.
    return torch.uint8 if len(tops) < 255 else torch.int32
