"""The classification models of torchvision, untrained, for images of any number of channels."""

from typing import Any

import torch
from torch import nn

from engine.models.torchvision_compat import torchvision

# The networks with outputs in their middle, which are switched off.
_AUXILIARY = ("googlenet", "inception_v3")


def build(channels: int, image_size: int, classes: int, name: str, small: bool) -> nn.Module:
    """Return a model of torchvision by its name there, without dropout and stochastic depth.

    The other networks have no dropout either: the paper names crop and flip as its only regularisation. small: its
    first convolution has 3x3 weights and stride 1, and no max pooling follows it. Raises what torchvision raises for
    an image size that the model cannot take.
    """
    library = torchvision()
    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": image_size}
    elif name.startswith("maxvit"):
        options = {"input_size": (image_size, image_size)}
    network: nn.Module = library.models.get_model(name, weights=None, num_classes=classes, **options)
    for module in network.modules():
        if isinstance(module, (nn.modules.dropout._DropoutNd, library.ops.StochasticDepth)):
            module.p = 0.0
    place, first = next((place, module) for place, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if small:
        network.set_submodule(place, _small_stem(first, channels))
        _drop_pooling(network)
    elif channels != first.in_channels:
        network.set_submodule(place, _with_channels(first, channels))
    return network


def _small_stem(first: nn.Conv2d, channels: int) -> nn.Conv2d:
    stem = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    if stem.bias is not None:
        nn.init.zeros_(stem.bias)
    return stem


def _drop_pooling(network: nn.Module) -> None:
    """Replace the max pooling between the first and the second convolution, if there is one."""
    convolutions = 0
    for place, module in network.named_modules():
        convolutions += isinstance(module, nn.Conv2d)
        if convolutions == 1 and isinstance(module, nn.MaxPool2d):
            network.set_submodule(place, nn.Identity())
            return


def _with_channels(first: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return the first convolution for another number of input channels, with weights of the same scale."""
    own = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        if channels < first.in_channels:
            own.weight.copy_(first.weight[:, :channels])
        else:
            nn.init.kaiming_normal_(own.weight, mode="fan_out", nonlinearity="relu")
        if own.bias is not None and first.bias is not None:
            own.bias.copy_(first.bias)
    return own
