"""Convolutions that are fast on a CPU, with the names and weights of `nn.Conv2d` and, up to rounding, its numbers."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.cast import CastConv2d

# A weight is large from this many bytes on, and an image small up to this many pixels.
LARGE_WEIGHT, SMALL_IMAGE = 2**20, 16


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution that stays in fp32 under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve in fp32, whatever the dtype of the input."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class WideConv2d(CastConv2d):
    """A 3x3 convolution that reads a large weight once for many small images; oneDNN reads it for each image.

    This reduced the time forward and backward for 512 channels in and out and 128 images, on AVX-512 with AMX: at 2x2
    pixels from 156 to 24 ms in fp32 and from 110 to 14 in bf16, at 4x4 from 236 to 173 and from 119 to 53. On AVX2 only
    2x2 pixels gain, from 200 to 36 ms in fp32.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, whatever the size of the images."""
        height, width = input.shape[2:]
        if max(height, width) <= 2:
            return self._multiply_images(input)
        if self.weight.nbytes < LARGE_WEIGHT or height * width > SMALL_IMAGE:
            return super().forward(input)
        in_bf16 = torch.is_autocast_enabled(input.device.type)
        if in_bf16 and _cpu_has("amx_bf16"):
            return self._multiply_pixels(input)
        if not in_bf16 and _cpu_has("avx512_f"):
            # Unless channels come last, oneDNN uses an algorithm that reads each weight once for many images.
            output = F.conv2d(input.contiguous(), self.weight.contiguous(), padding=1)
            return output.contiguous(memory_format=torch.channels_last)
        return super().forward(input)

    def _multiply_images(self, input: Tensor) -> Tensor:
        """Convolve by one product of whole images, in which every output pixel depends on every input pixel."""
        height, width = input.shape[2:]
        kernel = self.weight.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, _taps(height, width))
        output = F.linear(input.permute(0, 2, 3, 1).flatten(1), kernel.view(-1, input[0].numel()))
        return output.view(-1, self.out_channels, height, width).contiguous(memory_format=torch.channels_last)

    def _multiply_pixels(self, input: Tensor) -> Tensor:
        """Convolve by one product of pixels with their neighbours, copied side by side."""
        height, width = input.shape[2:]
        # fp32, because a gradient is the sum of nine. The padded last pixel stands for all pixels outside.
        pixels = F.pad(input.float().permute(0, 2, 3, 1).flatten(1, 2), (0, 0, 0, 1))
        patches = pixels.index_select(1, _neighbours(height, width)).view(-1, 9 * self.in_channels)
        output = F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1))
        return output.view(-1, height, width, self.out_channels).permute(0, 3, 1, 2)


def prepare(network: nn.Module, precision: str, device: torch.device) -> None:
    """Replace a network's convolutions by those that are fast on the device.

    On a CPU in bf16, strided depthwise convolutions stay in fp32: on AVX-512 with BF16, their backward pass took 11
    times as long in bf16.
    """
    if device.type != "cpu":
        return
    for module in network.modules():
        if type(module) is not nn.Conv2d:
            continue
        if module.groups > 1 and max(module.stride) > 1 and precision == "bf16":
            module.__class__ = FullPrecisionConv2d
        elif _is_plain_3x3(module):
            module.__class__ = WideConv2d


def _is_plain_3x3(module: nn.Conv2d) -> bool:
    return (
        (module.kernel_size, module.stride, module.padding, module.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and (module.groups, module.padding_mode) == (1, "zeros")
        and module.bias is None
    )


@cache
def _taps(height: int, width: int) -> Tensor:
    """Return for each input pixel of each output pixel the place in a 3x3 kernel of the weight between them."""
    pixels = [(y, x) for y in range(height) for x in range(width)]
    return torch.tensor([3 * (v - y + 1) + (u - x + 1) for y, x in pixels for v, u in pixels])


@cache
def _neighbours(height: int, width: int) -> Tensor:
    """Return the pixel at each place of a 3x3 kernel around each pixel; height * width for pixels outside."""
    return torch.tensor(
        [
            v * width + u if 0 <= v < height and 0 <= u < width else height * width
            for y in range(height)
            for x in range(width)
            for v in (y - 1, y, y + 1)
            for u in (x - 1, x, x + 1)
        ]
    )


@cache
def _cpu_has(feature: str) -> bool:
    """Return whether this CPU has a feature, by PyTorch's name for it."""
    return bool(torch.cpu.get_capabilities().get(feature, False))
