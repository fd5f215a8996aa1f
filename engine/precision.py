"""The precision that a network computes in: fp32, or bf16 where that serves, its weights fp32 always."""

import torch
from torch import Tensor, nn


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution that stays in fp32 under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve in fp32, whatever came in."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def prepare(network: nn.Module, precision: str, device: torch.device) -> None:
    """Except from bf16, on a CPU, the convolutions that are slow in it; names and weights stay as they are.

    Measured on AVX-512 with BF16: the backward pass of a strided depthwise convolution takes 11 times as long as fp32.
    """
    if precision != "bf16" or device.type != "cpu":
        return
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups > 1 and max(module.stride) > 1:
            module.__class__ = FullPrecisionConv2d


def forward(network: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return a network's outputs in fp32."""
    if precision == "fp32":
        return network(images)  # type: ignore[no-any-return]
    # Each weight is cast once a step anyway, and what is kept of a step's casts must not outlive its recording.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, cache_enabled=False):
        return network(images).float()  # type: ignore[no-any-return]
