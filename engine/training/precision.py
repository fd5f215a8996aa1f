"""The precision that a network computes in: fp32, or bf16 where that serves, its weights fp32 always."""

import torch
from torch import Tensor, nn


def forward(network: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return a network's outputs in fp32."""
    if precision == "fp32":
        return network(images)  # type: ignore[no-any-return]
    # Each weight is cast once a step anyway, and what is kept of a step's casts must not outlive its recording.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, cache_enabled=False):
        return network(images).float()  # type: ignore[no-any-return]
