"""The networks in their forms for small images."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pkgutil import resolve_name

import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.batch_norm import ClampedNorm2d
from engine.models.torchvision_compat import torchvision
from engine.registry import NETWORKS
from engine.study.layers import vgg_layers

# From channels, image size in pixels, classes and the arguments of its entry to a network with weights drawn from the
# global generator.
Builder = Callable[..., nn.Module]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (He et al. 2016, option A)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = ClampedNorm2d(channels_out, low=0)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = ClampedNorm2d(channels_out, low=0)
        self.stride = stride
        self.widen = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv1(x))
        return self.bn2(self.conv2(out), added=self._shortcut(x))  # type: ignore[no-any-return]

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and not self.widen:
            return x
        # Indexing with channels last gives gradients the memory order of activations; in another order, the next
        # layers of the backward pass took up to 16 times as long.
        x = x.permute(0, 2, 3, 1)[:, :: self.stride, :: self.stride]
        return F.pad(x, (self.widen // 2, self.widen - self.widen // 2)).permute(0, 3, 1, 2)


class GlobalAverage(nn.Module):
    """The mean over all pixels of each channel: (n, channels, height, width) to (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over height and width."""
        # As in the shortcut, channels last give the gradient the memory order of activations.
        return x.permute(0, 2, 3, 1).mean((1, 2))


def resnet20(channels: int, image_size: int, classes: int) -> nn.Module:
    """ResNet-20 of He et al. 2016, section 4.2: 0.27 M parameters at 10 classes."""
    return resnet(channels, image_size, classes, 20)


def resnet(channels: int, image_size: int, classes: int, depth: int) -> nn.Module:
    """ResNet of He et al. 2016, section 4.2, for small images; depth: 6n + 2, as in 20, 32, 44, 56 and 110."""
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(channels, 16, 3, padding=1, bias=False),
        "bn": ClampedNorm2d(16, low=0),
    }
    width = 16
    for stage, stage_width in enumerate((16, 32, 64), start=1):
        for block in range(1, (depth - 2) // 6 + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_block{block}"] = BasicBlock(width, stage_width, stride)
            width = stage_width
    network = sequence(layers, width, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return network


def vgg11(channels: int, image_size: int, classes: int) -> nn.Module:
    """VGG-11 with batch norm and one linear layer: 9.2 M parameters at 10 classes."""
    return vgg(channels, image_size, classes, 11)


def vgg(channels: int, image_size: int, classes: int, depth: int) -> nn.Module:
    """VGG of Simonyan & Zisserman 2015 with batch norm and one linear layer; depth: 11, 13, 16 or 19.

    It has as many of its five poolings as the image size allows.
    """
    layers: dict[str, nn.Module] = {}
    width, size = channels, image_size
    for number, (channels_out, pooled) in enumerate(vgg_layers(depth), start=1):
        layers[f"conv{number}"] = nn.Conv2d(width, channels_out, 3, padding=1, bias=False)
        layers[f"bn{number}"] = ClampedNorm2d(channels_out, low=0)
        width = channels_out
        if pooled and size >= 2:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            size //= 2
    network = sequence(layers, width, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
    return network


def mobilenet_v2(channels: int, image_size: int, classes: int) -> nn.Module:
    """MobileNet-V2 for small images: torchvision's blocks, stem and first widening at stride 1; 2.2 M at 10 classes."""
    models = torchvision().models.mobilenetv2
    settings = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    # There is no dropout, because the paper names crop and flip as its only regularisation.
    network = models.MobileNetV2(
        num_classes=classes, inverted_residual_setting=settings, dropout=0.0, norm_layer=ClampedNorm2d
    )
    stem = nn.Conv2d(channels, 32, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    network.features[0][0] = stem
    for block in network.modules():
        for (_, norm), (name, clamp) in pairwise(list(block.named_children())):
            if isinstance(norm, ClampedNorm2d) and isinstance(clamp, nn.ReLU6):
                norm.low, norm.high = 0, 6
                setattr(block, name, nn.Identity())
    parts = {"features": network.features, "average": GlobalAverage(), "classifier": network.classifier}
    return nn.Sequential(OrderedDict(parts))


def lenet300(channels: int, image_size: int, classes: int) -> nn.Module:
    """LeNet-300-100 of LeCun et al. 1998: two hidden linear layers, for small images."""
    layers: dict[str, nn.Module] = {
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(channels * image_size**2, 300),
        "relu1": nn.ReLU(inplace=True),
        "fc2": nn.Linear(300, 100),
        "relu2": nn.ReLU(inplace=True),
        "fc3": nn.Linear(100, classes),
    }
    network = nn.Sequential(OrderedDict(layers))
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def sequence(layers: dict[str, nn.Module], width: int, classes: int) -> nn.Sequential:
    """Return the layers, global average pooling and a linear layer; charts of overlap show the layers' names."""
    head = {"average": GlobalAverage(), "fc": nn.Linear(width, classes)}
    return nn.Sequential(OrderedDict({**layers, **head}))


def build(name: str, channels: int, image_size: int, classes: int) -> nn.Module:
    """Return a freshly initialised network; KeyError for a name that is not in NETWORKS."""
    entry = NETWORKS[name]
    builder: Builder = resolve_name(entry.builder)
    return builder(channels, image_size, classes, *entry.arguments)


def prunable(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the prunable weights: all kernels of convolutions and linear layers but the first conv's."""
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    kernels = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return tuple(f"{name}.weight" for name in kernels if name not in convolutions[:1])
