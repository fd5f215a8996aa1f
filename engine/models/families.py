"""Networks that come in families: wide residual networks, and the small convolutional ones of Frankle & Carbin."""

from collections import OrderedDict

from torch import Tensor, nn

from engine.models.batch_norm import ClampedNorm2d
from engine.models.networks import sequence


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU; the shortcut has a 1x1 convolution where widths differ."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = ClampedNorm2d(channels_in, low=0)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn2 = ClampedNorm2d(channels_out, low=0)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride > 1 or channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.bn1(x)
        out: Tensor = self.conv2(self.bn2(self.conv1(active)))
        return out + (x if self.shortcut is None else self.shortcut(active))


def wide_resnet(channels: int, image_size: int, classes: int, depth: int, width: int) -> nn.Module:
    """WRN-<depth>-<width> of Zagoruyko & Komodakis 2016 without dropout, for small images.

    depth: 6n + 4. width: the factor k of the widths 16k, 32k and 64k. Weights are drawn as there: convolutions Kaiming
    normal by fan-out, biases 0.
    """
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(channels, 16, 3, padding=1, bias=False)}
    before = 16
    for group, base in enumerate((16, 32, 64), start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            stride = 2 if group > 1 and block == 1 else 1
            layers[f"group{group}_block{block}"] = WideBlock(before, base * width, stride)
            before = base * width
    layers["bn"] = ClampedNorm2d(before, low=0)
    network = sequence(layers, before, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return network


def conv(channels: int, image_size: int, classes: int, convolutions: int) -> nn.Module:
    """Conv-2, Conv-4 or Conv-6 of Frankle & Carbin 2019, figure 2: pairs of convolutions, and three linear layers.

    It has as many of its poolings as the image size allows. Weights are drawn as there, Glorot normal, biases 0.
    """
    layers: dict[str, nn.Module] = {}
    before, size = channels, image_size
    for number in range(1, convolutions + 1):
        outputs = 64 << (number - 1) // 2
        layers[f"conv{number}"] = nn.Conv2d(before, outputs, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        before = outputs
        if number % 2 == 0 and size >= 2:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            size //= 2
    layers["flatten"] = nn.Flatten()
    widths = (before * size**2, 256, 256, classes)
    for number in (1, 2, 3):
        layers[f"fc{number}"] = nn.Linear(widths[number - 1], widths[number])
        if number < 3:
            layers[f"fc_relu{number}"] = nn.ReLU(inplace=True)
    network = nn.Sequential(OrderedDict(layers))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network
