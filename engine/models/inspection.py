"""The anatomy of a network as PyTorch builds it; `python -m engine.models.inspection` prints it as JSON."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pkgutil import resolve_name

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from engine.models.networks import Builder, prunable
from engine.study.layers import Anatomy, Layer


def inspect(
    where: str, channels: int, image_size: int, classes: int, arguments: Sequence[str | int | bool] = ()
) -> Anatomy:
    """Return the anatomy of the network that module:function builds; raises whatever that function raises.

    arguments: of the network's entry. It is built on the meta device, without memory for weights and images, if that is
    possible.
    """
    builder: Builder = resolve_name(where)

    def build() -> nn.Module:
        return builder(channels, image_size, classes, *arguments)

    try:
        return _anatomy(build, channels, image_size, "meta")
    except Exception:  # Added code may raise anything on the meta device.
        return _anatomy(build, channels, image_size, "cpu")


def _anatomy(build: Callable[[], nn.Module], channels: int, image_size: int, device: str) -> Anatomy:
    with torch.device(device):
        network = build().eval()
        images = torch.zeros(2, channels, image_size, image_size)
    pixels: list[int] = []

    def look(module: nn.Module, inputs: Sequence[Tensor]) -> None:
        pixels.append(inputs[0].numel() // (inputs[0].shape[0] * inputs[0].shape[1]))

    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(look)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    weights = network.state_dict()
    layers = tuple(Layer(name, weights[name].numel(), weights[name].shape[0]) for name in prunable(network))
    return Anatomy(layers, min(pixels, default=None), counter.get_total_flops() // len(images))


def main() -> None:
    """Print the anatomy of module:function, arguments as JSON, channels, image size, classes as JSON, or the error."""
    where, arguments, *shape = sys.argv[1:]
    channels, image_size, classes = map(int, shape)
    try:
        report = asdict(inspect(where, channels, image_size, classes, json.loads(arguments)))
    except Exception as error:  # Added code may raise anything.
        report = {"error": f"{type(error).__name__}: {error}"}
    # The JSON has its own line, because added code may print too.
    print(f"\n{json.dumps(report)}")


if __name__ == "__main__":
    main()
