"""NETWORKS: the networks that studies may name, what they are called, and where each is built."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """A network that has a name.

    title: as the literature writes it. builder: module:function, from channels, image size in pixels and classes to a
    network; imported when one is first built, since names are asked for where nothing is trained.
    """

    title: str
    builder: str


NETWORKS: dict[str, Architecture] = {
    "resnet20": Architecture("ResNet-20", "engine.networks:resnet20"),
    "vgg11": Architecture("VGG-11", "engine.networks:vgg11"),
    "mobilenet_v2": Architecture("MobileNet-V2", "engine.networks:mobilenet_v2"),
    "lenet300": Architecture("LeNet-300", "engine.networks:lenet300"),
}


def title(name: str) -> str:
    """Return how the literature writes a network's name; one that is not known goes by its own."""
    return NETWORKS[name].title if name in NETWORKS else name
