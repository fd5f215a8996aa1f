"""Perceptrons of two to four linear layers, built by one function."""

from torch import nn

from engine.registry import NETWORKS, Network


def mlp(channels: int, image_size: int, classes: int, depth: int) -> nn.Module:
    """Return a network of linear layers of 100 units."""
    widths = [channels * image_size**2, *[100] * (depth - 1), classes]
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(widths[0], widths[1])]
    for number in range(1, depth):
        layers += [nn.ReLU(inplace=True), nn.Linear(widths[number], widths[number + 1])]
    return nn.Sequential(*layers)


for depth in (2, 3, 4):
    about = f"{depth} linear layers of 100 units."
    NETWORKS[f"mlp{depth}"] = Network(f"MLP-{depth}", mlp, about, arguments=(depth,))
