"""Ranking weights by magnitude, which masks and overlaps both rest on."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

# Whole numbers as wide as a float, and the bits of the first NaN, which lie just above those of infinity.
_BITS = {torch.float32: (torch.int32, 0x7F80_0001), torch.float64: (torch.int64, 0x7FF0_0000_0000_0001)}
# Fewer are sorted faster than they are counted.
FEW = 1 << 16


def levels(weights: Tensor, tops: Sequence[int]) -> Tensor:
    """Return for each weight how many of some tops, the k largest magnitudes, it is not in; 0 is in all of them.

    weights: any shape, read row by row. tops: every k, rising, at most N. Returns small whole numbers of shape (N,) on
    the same device. Of equal magnitudes the first position ranks first; NaN ranks above infinity.
    """
    keys = _keys(weights)
    # A GPU sorts fast, but would be waited for between counting and sorting.
    sorts = keys.numel() < FEW or keys.device.type != "cpu"
    return _sorted(keys, tops) if sorts else _counted(keys, tops)


def _keys(weights: Tensor) -> Tensor:
    """Return whole numbers of at least 0, which rise as magnitudes fall."""
    exact = torch.float32 if weights.is_floating_point() and weights.itemsize <= 4 else torch.float64
    whole, nan = _BITS[exact]
    # The bits of floats that are not negative order as the floats do. NaN has many patterns, which rank as one.
    return weights.detach().flatten().to(exact).abs().view(whole).clamp_(max=nan).neg_().add_(nan)


def _sorted(keys: Tensor, tops: Sequence[int]) -> Tensor:
    by_place = torch.empty(keys.numel(), dtype=_dtype(tops), device=keys.device)
    for level, (begin, end) in enumerate(pairwise((0, *tops, keys.numel()))):
        by_place[begin:end] = level
    return torch.empty_like(by_place).scatter_(0, torch.sort(keys, stable=True).indices, by_place)


def _counted(keys: Tensor, tops: Sequence[int]) -> Tensor:
    """Do as `_sorted` does, but sort only near the end of each top, where counting in bins leaves the level open."""
    # 65,536 bins, most of which lie between the ends of two tops.
    coarse = keys >> (15 if keys.dtype == torch.int32 else 47)
    filled = torch.bincount(coarse, minlength=1)
    ends = filled.cumsum(0)
    begins = ends - filled
    bounds = torch.tensor(tops)
    level = torch.bucketize(begins, bounds, right=True)
    split = (filled > 0) & (level != torch.bucketize(ends - 1, bounds, right=True))
    still_open = len(tops) + 1
    ranked = torch.where(split, still_open, level).to(_dtype(tops)).index_select(0, coarse)
    chosen = (ranked == still_open).nonzero().flatten()
    chosen = chosen[torch.sort(keys[chosen], stable=True).indices]
    # Sorted, what was chosen lies bin by bin; each bin begins at a place among all weights, and at one among these.
    among = torch.where(split, filled, 0)
    ahead = begins - (among.cumsum(0) - among)
    places = torch.arange(chosen.numel()) + ahead.index_select(0, coarse[chosen])
    ranked[chosen] = torch.bucketize(places, bounds, right=True).to(ranked.dtype)
    return ranked


def _dtype(tops: Sequence[int]) -> torch.dtype:
    # Levels are written all over the memory: the narrower, the more of them are at hand.
    return torch.uint8 if len(tops) < 255 else torch.int32
