"""Ranking weights by magnitude, which masks and overlaps both rest on."""

import torch
from torch import Tensor

# Whole numbers as wide as a float, and the bits of the first NaN, which lie just above those of infinity.
_BITS = {torch.float32: (torch.int32, 0x7F80_0001), torch.float64: (torch.int64, 0x7FF0_0000_0000_0001)}


def ranked(weights: Tensor) -> Tensor:
    """Return the positions of weights, the largest magnitude first and of equal ones the first position first.

    weights: any shape, read row by row. Returns int64 of shape (N,) on the same device. NaN ranks above infinity.
    """
    exact = torch.float32 if weights.is_floating_point() and weights.itemsize <= 4 else torch.float64
    whole, nan = _BITS[exact]
    # The bits of floats that are not negative order as the floats do, and PyTorch sorts whole numbers by radix if they
    # rise, many times as fast. NaN has many patterns, which rank as one.
    keys = weights.detach().flatten().to(exact).abs().view(whole).clamp_(max=nan).neg_().add_(nan)
    return torch.sort(keys, stable=True).indices
