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
    """The properties of a network, for images of one shape, that checks of a study and estimates of its time need.

    norm_pixels: pixels of the smallest map that batch norm gets; None for a network without batch norm. flops: the
    floating-point operations of one image's forward pass, in convolutions and linear layers.
    """

    layers: tuple[Layer, ...]
    norm_pixels: int | None
    flops: int


def known(network: str, channels: int, image_size: int, classes: int) -> Anatomy | None:
    """Return the anatomy of one of the project's own networks, or None for other networks and other versions."""
    if network not in NETWORKS:
        return None
    entry = NETWORKS[network]
    if entry.builder not in _OWN or entry.version != 1:
        return None
    return _OWN[entry.builder](channels, image_size, classes, *entry.arguments)


def vgg_layers(depth: int) -> tuple[tuple[int, bool], ...]:
    """Return the channels of each convolution of VGG-11, 13, 16 or 19, and whether it is followed by a pooling."""
    repeats = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[depth]
    return tuple(
        (channels, number == count)
        for channels, count in zip((64, 128, 256, 512, 512), repeats, strict=True)
        for number in range(1, count + 1)
    )


def _resnet(channels: int, image_size: int, classes: int, depth: int = 20) -> Anatomy:
    layers: list[Layer] = []
    width, uses = 16, 9 * channels * 16 * image_size**2
    for stage, outputs in enumerate((16, 32, 64), start=1):
        pixels = _halved(image_size, stage - 1) ** 2
        for block in range(1, (depth - 2) // 6 + 1):
            name = f"stage{stage}_block{block}"
            pair = [_convolution(f"{name}.conv1", width, outputs), _convolution(f"{name}.conv2", outputs, outputs)]
            uses += sum(layer.size for layer in pair) * pixels
            layers += pair
            width = outputs
    fc = _linear("fc", width, classes)
    return Anatomy((*layers, fc), _halved(image_size, 2) ** 2, 2 * (uses + fc.size))


def _wide_resnet(channels: int, image_size: int, classes: int, depth: int, width: int) -> Anatomy:
    layers: list[Layer] = []
    before, uses = 16, 9 * channels * 16 * image_size**2
    for group, outputs in enumerate((16 * width, 32 * width, 64 * width), start=1):
        pixels = _halved(image_size, group - 1) ** 2
        for block in range(1, (depth - 4) // 6 + 1):
            name = f"group{group}_block{block}"
            own = [_convolution(f"{name}.conv1", before, outputs), _convolution(f"{name}.conv2", outputs, outputs)]
            if block == 1 and (group > 1 or before != outputs):
                own.append(_linear(f"{name}.shortcut", before, outputs))
            uses += sum(layer.size for layer in own) * pixels
            layers += own
            before = outputs
    fc = _linear("fc", before, classes)
    return Anatomy((*layers, fc), _halved(image_size, 2) ** 2, 2 * (uses + fc.size))


def _vgg(channels: int, image_size: int, classes: int, depth: int = 11) -> Anatomy:
    layers: list[Layer] = []
    width, size, smallest, uses = channels, image_size, image_size, 0
    for number, (outputs, pooled) in enumerate(vgg_layers(depth), start=1):
        layers.append(_convolution(f"conv{number}", width, outputs))
        width, smallest = outputs, size
        uses += layers[-1].size * size**2
        if pooled and size >= 2:
            size //= 2
    fc = _linear("fc", width, classes)
    # The first convolution is never pruned.
    return Anatomy((*layers[1:], fc), smallest**2, 2 * (uses + fc.size))


def _conv(channels: int, image_size: int, classes: int, convolutions: int) -> Anatomy:
    layers: list[Layer] = []
    width, size, uses = channels, image_size, 0
    for number in range(1, convolutions + 1):
        outputs = 64 << (number - 1) // 2
        layers.append(_convolution(f"conv{number}", width, outputs))
        width = outputs
        uses += layers[-1].size * size**2
        if number % 2 == 0 and size >= 2:
            size //= 2
    widths = (width * size**2, 256, 256, classes)
    linear = [_linear(f"fc{i}", widths[i - 1], widths[i]) for i in (1, 2, 3)]
    return Anatomy((*layers[1:], *linear), None, 2 * (uses + sum(layer.size for layer in linear)))


def _mobilenet_v2(channels: int, image_size: int, classes: int) -> Anatomy:
    layers = [Layer("features.1.conv.0.0.weight", 9 * 32, 32), Layer("features.1.conv.1.weight", 32 * 16, 16)]
    width, block, halvings = 16, 2, 0
    uses = (9 * channels * 32 + 9 * 32 + 32 * 16) * image_size**2
    for outputs, repeats, halves in ((24, 2, 0), (32, 3, 1), (64, 4, 1), (96, 3, 0), (160, 3, 1), (320, 1, 0)):
        for repeat in range(repeats):
            wide, before = 6 * width, _halved(image_size, halvings) ** 2
            halvings += halves if repeat == 0 else 0
            after = _halved(image_size, halvings) ** 2
            layers += [
                Layer(f"features.{block}.conv.0.0.weight", width * wide, wide),
                # A depthwise convolution has one kernel of 3 x 3 for each channel.
                Layer(f"features.{block}.conv.1.0.weight", 9 * wide, wide),
                Layer(f"features.{block}.conv.2.weight", wide * outputs, outputs),
            ]
            uses += width * wide * before + (9 + outputs) * wide * after
            width, block = outputs, block + 1
    layers += [Layer("features.18.0.weight", 320 * 1280, 1280), _linear("classifier.1", 1280, classes)]
    uses += 320 * 1280 * after + 1280 * classes
    return Anatomy(tuple(layers), _halved(image_size, 3) ** 2, 2 * uses)


def _lenet300(channels: int, image_size: int, classes: int) -> Anatomy:
    widths = (channels * image_size**2, 300, 100, classes)
    layers = tuple(_linear(f"fc{i}", widths[i - 1], widths[i]) for i in (1, 2, 3))
    return Anatomy(layers, None, 2 * sum(layer.size for layer in layers))


def _convolution(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(f"{name}.weight", 9 * inputs * outputs, outputs)


def _linear(name: str, inputs: int, outputs: int) -> Layer:
    return Layer(f"{name}.weight", inputs * outputs, outputs)


def _halved(size: int, times: int) -> int:
    """Return the size of a map after a number of convolutions of stride 2, which round up."""
    return math.ceil(size / (1 << times))


# By builder; a test compares each anatomy with the network that PyTorch builds.
_OWN: dict[str, Callable[..., Anatomy]] = {
    "engine.models.networks:resnet20": _resnet,
    "engine.models.networks:resnet": _resnet,
    "engine.models.networks:vgg11": _vgg,
    "engine.models.networks:vgg": _vgg,
    "engine.models.networks:mobilenet_v2": _mobilenet_v2,
    "engine.models.networks:lenet300": _lenet300,
    "engine.models.families:wide_resnet": _wide_resnet,
    "engine.models.families:conv": _conv,
}
