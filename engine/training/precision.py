"""The forward pass of a network in fp32 or under bf16 autocast, with fp32 weights."""

import torch
from torch import Tensor, nn


def forward(network: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return a network's outputs in fp32."""
    if precision == "fp32":
        return network(images)  # type: ignore[no-any-return]
    # Each weight is cast once per step without a cache too, and cached casts must not outlive a step's recording.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, cache_enabled=False):
        return network(images).float()  # type: ignore[no-any-return]
