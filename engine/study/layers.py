"""The prunable layers of networks by image shape, without PyTorch, which takes two seconds to import."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.registry import NETWORKS


@dataclass(frozen=True)
class Layer:
    """A prunable layer: its name, its number of weights, and its number of outputs, which are channels or units."""

    name: str
    size: int
    outputs: int


@dataclass(frozen=True)
class Anatomy:
    """The properties of a network, for images of one shape, that a study's design is checked against.

    norm_pixels: pixels of the smallest map that batch norm gets; None for a network without batch norm.
    """

    layers: tuple[Layer, ...]
    norm_pixels: int | None


def known(network: str, channels: int, image_size: int, classes: int) -> Anatomy | None:
    """Return the anatomy of one of the project's own networks, or None for other networks and other versions."""
    entry = NETWORKS[network]
    if network not in _OWN or (entry.builder, entry.version) != (f"engine.models.networks:{network}", 1):
        return None
    return _OWN[network](channels, image_size, classes)


def _resnet20(channels: int, image_size: int, classes: int) -> Anatomy:
    layers: list[Layer] = []
    width = 16
    for stage, outputs in enumerate((16, 32, 64), start=1):
        for block in (1, 2, 3):
            name = f"stage{stage}_block{block}"
            layers += [_convolution(f"{name}.conv1", width, outputs), _convolution(f"{name}.conv2", outputs, outputs)]
            width = outputs
    return Anatomy((*layers, _linear("fc", width, classes)), _halved(image_size, 2) ** 2)


def _vgg11(channels: int, image_size: int, classes: int) -> Anatomy:
    layers: list[Layer] = []
    width, size = 64, image_size
    size //= 2 if size >= 2 else 1
    smallest = image_size
    pooled = (True, False, True, False, True, False, True)
    for number, (outputs, pools) in enumerate(zip((128, 256, 256, 512, 512, 512, 512), pooled, strict=True), start=2):
        layers.append(_convolution(f"conv{number}", width, outputs))
        width, smallest = outputs, size
        if pools and size >= 2:
            size //= 2
    return Anatomy((*layers, _linear("fc", width, classes)), smallest**2)


def _mobilenet_v2(channels: int, image_size: int, classes: int) -> Anatomy:
    layers = [Layer("features.1.conv.0.0.weight", 9 * 32, 32), Layer("features.1.conv.1.weight", 32 * 16, 16)]
    width, block = 16, 2
    for outputs, repeats in ((24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1)):
        for _ in range(repeats):
            wide = 6 * width
            layers += [
                Layer(f"features.{block}.conv.0.0.weight", width * wide, wide),
                # A depthwise convolution has one kernel of 3 x 3 for each channel.
                Layer(f"features.{block}.conv.1.0.weight", 9 * wide, wide),
                Layer(f"features.{block}.conv.2.weight", wide * outputs, outputs),
            ]
            width, block = outputs, block + 1
    layers += [Layer("features.18.0.weight", 320 * 1280, 1280), _linear("classifier.1", 1280, classes)]
    return Anatomy(tuple(layers), _halved(image_size, 3) ** 2)


def _lenet300(channels: int, image_size: int, classes: int) -> Anatomy:
    widths = (channels * image_size**2, 300, 100, classes)
    return Anatomy(tuple(_linear(f"fc{i}", widths[i - 1], widths[i]) for i in (1, 2, 3)), None)


def _convolution(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(f"{name}.weight", 9 * inputs * outputs, outputs)


def _linear(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(f"{name}.weight", inputs * outputs, outputs)


def _halved(size: int, times: int) -> int:
    """Return the size of a map after a number of convolutions of stride 2, which round up."""
    return math.ceil(size / (1 << times))


# A test compares each anatomy with the network that PyTorch builds.
_OWN: dict[str, Callable[[int, int, int], Anatomy]] = {
    "resnet20": _resnet20,
    "vgg11": _vgg11,
    "mobilenet_v2": _mobilenet_v2,
    "lenet300": _lenet300,
}
