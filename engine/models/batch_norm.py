"""Batch norm fused with the sum and the clamp that follow it, on a CPU; elsewhere PyTorch's own."""

import logging
import math
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

log = logging.getLogger(__name__)

# A row of several pixels has at most this many values; a row of one pixel may have more.
ROW = 256
Array = np.ndarray[Any, np.dtype[Any]]


class ClampedNorm2d(nn.BatchNorm2d):
    """Batch norm whose output is clamped from low to high: as by a ReLU, by a ReLU6, or not at all.

    Output, gradients and running statistics equal those of `nn.BatchNorm2d` and then the clamp, up to rounding. fused:
    whether a single-threaded CPU computes all of it in one function. On AVX-512, this reduced the time forward and
    backward for 128 images outside the cache, of 16 channels and 32x32 pixels, with a ReLU, from 8.0 to 4.9 ms in fp32,
    and from 8.4 to 3.1 ms in bf16.
    """

    fused = True

    def __init__(self, channels: int, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__(channels)
        self.low, self.high = low, high

    def forward(self, input: Tensor, added: Tensor | None = None) -> Tensor:
        """Normalise, add a tensor of the same shape if there is one, and clamp."""
        self._check_input_dim(input)
        if self._fuses(input, added):
            if self.training:
                output: Tensor = _ClampedNorm.apply(input, self.weight, self.bias, added, self)  # type: ignore[no-untyped-call]
                return output
            return _evaluated(input, added, self)
        output = super().forward(input)
        if added is not None:
            output += added
        if (self.low, self.high) == (-math.inf, math.inf):
            return output
        if (self.low, self.high) == (0, math.inf):
            return F.relu(output, inplace=True)
        # In place, PyTorch would first copy the input, which the backward pass needs.
        return F.hardtanh(output, self.low, self.high)

    def _fuses(self, input: Tensor, added: Tensor | None) -> bool:
        """Return whether to fuse: on a single-threaded CPU, in training or without gradients.

        Wrong shapes go to PyTorch, which raises the error.
        """
        return (
            self.fused
            and input.device.type == "cpu"
            and torch.get_num_threads() == 1
            and (input.dtype in (torch.float32, torch.bfloat16) and self.weight.dtype == torch.float32)
            and input.shape[1] == self.num_features
            and (added is None or (added.shape == input.shape and added.dtype == input.dtype))
            and (input.numel() > self.num_features if self.training else not torch.is_grad_enabled())
            and _loops() is not None
        )


class _ClampedNorm(torch.autograd.Function):
    """The fused function in training: it normalises by the batch's statistics and updates the running ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None, norm: ClampedNorm2d) -> Tensor:
        output, ctx.bounds = _empty(x), _bounds(norm)
        ctx.statistics = _loops().normalise_batch(
            _rows(x),
            None if added is None else _rows(added),
            _rows(output),
            *map(_vector, (weight, bias, norm.running_mean, norm.running_var)),
            norm.momentum,
            norm.eps,
            *ctx.bounds,
        )
        norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        ctx.save_for_backward(x, weight, bias, None if added is None else output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, output = ctx.saved_tensors
        of_x, of_added = _empty(x), None if output is None else _empty(x)
        of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
        images = (None if tensor is None else _rows(tensor) for tensor in (gradient, x, output, of_added, of_x))
        vectors = map(_vector, (of_weight, of_bias, weight, bias))
        _loops().gradients(*images, *vectors, *ctx.statistics, *ctx.bounds)
        return of_x, of_weight, of_bias, of_added, None


def _evaluated(x: Tensor, added: Tensor | None, norm: ClampedNorm2d) -> Tensor:
    output = _empty(x)
    weight, bias, mean, variance = map(_vector, (norm.weight, norm.bias, norm.running_mean, norm.running_var))
    inverse = 1 / np.sqrt(variance.astype(np.float64) + norm.eps)
    images = (_rows(x), None if added is None else _rows(added), _rows(output))
    _loops().normalise(*images, weight, bias, mean, inverse, *_bounds(norm))
    return output


@cache
def _loops() -> Any:
    """Return `engine.models.batch_norm_cpu`, which is slow to import and not needed by every network.

    None where numba is missing or does not run on this system: PyTorch's operators are slower and do the same.
    """
    try:
        return import_module("engine.models.batch_norm_cpu")
    except ImportError as error:
        log.warning("batch norm is slower here, since its compiled loops cannot be loaded: %s", error)
        return None


def _rows(images: Tensor) -> Array:
    """Return images (count, channels, height, width) as the loops' rows; a copy unless channels come last in memory."""
    channels = images.shape[1]
    pixels = _pixels(images.numel() // channels, channels)
    rows = images.detach().permute(0, 2, 3, 1).reshape(-1, channels * pixels)
    return (rows.view(torch.uint16) if rows.dtype == torch.bfloat16 else rows).numpy()


@cache
def _pixels(count: int, channels: int) -> int:
    """Return the number of pixels in a row: the largest that fits and divides the number of all pixels."""
    return max(pixels for pixels in range(1, max(1, ROW // channels) + 1) if count % pixels == 0)


def _empty(images: Tensor) -> Tensor:
    """Return memory for images of the same shape, with channels last, so that `_rows` does not copy it."""
    return torch.empty_like(images, memory_format=torch.channels_last)


def _vector(per_channel: Tensor | None) -> Array:
    assert per_channel is not None
    return per_channel.detach().numpy()


def _bounds(norm: ClampedNorm2d) -> tuple[np.float32, np.float32]:
    return np.float32(norm.low), np.float32(norm.high)
