"""The arithmetic of a network, counted by PyTorch."""

import functools

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.models.networks import build


@functools.lru_cache(maxsize=256)
def flops_per_image(network: str, channels: int, image_size: int, classes: int) -> int:
    """Return the floating-point operations of one image's forward pass."""
    with torch.device("meta"):
        module = build(network, channels, image_size, classes).eval()
        images = torch.zeros(1, channels, image_size, image_size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(images)
    return int(counter.get_total_flops())
