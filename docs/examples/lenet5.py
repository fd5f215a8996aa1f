"""LeNet-5 of LeCun et al. 1998, padded, for images of 4 x 4 pixels or more."""

from torch import nn

from engine.registry import NETWORKS, Network


def lenet5(channels: int, image_size: int, classes: int) -> nn.Module:
    """Return the network with freshly drawn weights."""
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(16 * (image_size // 4) ** 2, 120), nn.ReLU(inplace=True)),
        *(nn.Linear(120, 84), nn.ReLU(inplace=True)),
        nn.Linear(84, classes),
    )


NETWORKS["lenet5"] = Network("LeNet-5", lenet5, "Two convolutions and three linear layers by LeCun et al. (1998).")
