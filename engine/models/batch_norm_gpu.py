"""Batch norm, the sum and the clamp that follow it as Triton kernels: two launches in each direction.

Images are (rows, channels) of fp32 or bf16: a row is one pixel, with channels last. A launch sums over slabs of rows,
and the next one adds up the sums of all slabs in the same order each time, so that equal inputs give equal bits. All is
computed in fp32.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# A block of a kernel has at most this many values; images are summed in at most SLABS parts.
VALUES, SLABS = 4096, 64
# Launches that need no sums may have this many blocks of rows.
BLOCKS = 1024


@triton.jit
def _moments(x, means, squares, rows, channels, height, TALL: tl.constexpr, WIDE: tl.constexpr):
    """Write the mean and the sum of squared distances to it of each channel in a slab of `height` rows."""
    slab = tl.program_id(0)
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    end = tl.minimum((slab + 1) * height, rows)
    mean = tl.zeros([WIDE], tl.float32)
    square = tl.zeros([WIDE], tl.float32)
    done = 0.0
    for first in range(slab * height, end, TALL):
        at = first + tl.arange(0, TALL)
        inside = (at < end)[:, None] & (columns < channels)[None, :]
        values = tl.load(x + at.to(tl.int64)[:, None] * channels + columns[None, :], mask=inside, other=0.0)
        values = values.to(tl.float32)
        count = tl.minimum(end - first, TALL).to(tl.float32)
        near = tl.sum(values, 0) / count
        distance = tl.where(inside, values - near[None, :], 0.0)
        # The block's moments are merged with the previous ones after Chan, Golub and LeVeque 1983.
        share = count / (done + count)
        apart = near - mean
        mean += share * apart
        square += tl.sum(distance * distance, 0) + apart * apart * share * done
        done += count
    tl.store(means + slab * channels + columns, mean, mask=columns < channels)
    tl.store(squares + slab * channels + columns, square, mask=columns < channels)


@triton.jit
def _merged(means, squares, columns, rows, channels, height, slabs, PARTS: tl.constexpr):
    """Return the mean and the variance of each channel over all slabs."""
    slab = tl.arange(0, PARTS)
    inside = (slab < slabs)[:, None] & (columns < channels)[None, :]
    at = slab[:, None] * channels + columns[None, :]
    mean = tl.load(means + at, mask=inside, other=0.0)
    square = tl.load(squares + at, mask=inside, other=0.0)
    count = tl.where(slab < slabs, tl.minimum(height, rows - slab * height), 0).to(tl.float32)[:, None]
    whole = tl.sum(mean * count, 0) / rows
    apart = mean - whole[None, :]
    return whole, tl.sum(square + count * apart * apart, 0) / rows


@triton.jit
def _normalise(
    x, added, output, weight, bias, means, squares, running_mean, running_var, mean_out, inverse_out,
    momentum, eps, low, high, rows, channels, height, slabs,
    ADDS: tl.constexpr, TRAINS: tl.constexpr, PARTS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Normalise, add and clamp; in training by the batch's moments, which update the running statistics."""
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    valid = columns < channels
    if TRAINS:
        mean, variance = _merged(means, squares, columns, rows, channels, height, slabs, PARTS)
        if tl.program_id(0) == 0:
            before = tl.load(running_mean + columns, mask=valid, other=0.0)
            tl.store(running_mean + columns, before + momentum * (mean - before), mask=valid)
            before = tl.load(running_var + columns, mask=valid, other=0.0)
            unbiased = variance * rows / (rows - 1)
            tl.store(running_var + columns, before + momentum * (unbiased - before), mask=valid)
            tl.store(mean_out + columns, mean, mask=valid)
            tl.store(inverse_out + columns, 1.0 / tl.sqrt(variance + eps), mask=valid)
    else:
        mean = tl.load(running_mean + columns, mask=valid, other=0.0)
        variance = tl.load(running_var + columns, mask=valid, other=1.0)
    scale = tl.load(weight + columns, mask=valid, other=0.0) / tl.sqrt(variance + eps)
    shift = tl.load(bias + columns, mask=valid, other=0.0) - mean * scale
    for first in range(tl.program_id(0) * TALL, rows, tl.num_programs(0) * TALL):
        at = first + tl.arange(0, TALL)
        inside = (at < rows)[:, None] & valid[None, :]
        places = at.to(tl.int64)[:, None] * channels + columns[None, :]
        value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
        if ADDS:
            value += tl.load(added + places, mask=inside, other=0.0).to(tl.float32)
        # Unlike a minimum and a maximum, these comparisons pass NaN on.
        value = tl.where(value < low, low, value)
        value = tl.where(value > high, high, value)
        tl.store(output + places, value.to(output.dtype.element_ty), mask=inside)


@triton.jit
def _gradient_sums(
    gradient, x, output, of_added, weight, bias, mean, inverse, totals, products,
    low, high, rows, channels, height, ADDS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Write two sums of each channel in a slab: of the gradients that pass the clamp, and of these times x - mean."""
    slab = tl.program_id(0)
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    valid = columns < channels
    end = tl.minimum((slab + 1) * height, rows)
    middle = tl.load(mean + columns, mask=valid, other=0.0)
    scale = tl.load(weight + columns, mask=valid, other=0.0) * tl.load(inverse + columns, mask=valid, other=0.0)
    shift = tl.load(bias + columns, mask=valid, other=0.0) - middle * scale
    total = tl.zeros([WIDE], tl.float32)
    product = tl.zeros([WIDE], tl.float32)
    for first in range(slab * height, end, TALL):
        at = first + tl.arange(0, TALL)
        inside = (at < end)[:, None] & valid[None, :]
        places = at.to(tl.int64)[:, None] * channels + columns[None, :]
        value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
        if ADDS:
            result = tl.load(output + places, mask=inside, other=0.0).to(tl.float32)
        else:
            result = value * scale[None, :] + shift[None, :]
        through = tl.load(gradient + places, mask=inside, other=0.0).to(tl.float32)
        through = tl.where((result > low) & (result < high), through, 0.0)
        if ADDS:
            tl.store(of_added + places, through.to(of_added.dtype.element_ty), mask=inside)
        total += tl.sum(through, 0)
        product += tl.sum(tl.where(inside, through * (value - middle[None, :]), 0.0), 0)
    tl.store(totals + slab * channels + columns, total, mask=valid)
    tl.store(products + slab * channels + columns, product, mask=valid)


@triton.jit
def _gradients(
    gradient, x, of_x, of_weight, of_bias, weight, bias, mean, inverse, totals, products,
    low, high, rows, channels, slabs,
    ADDS: tl.constexpr, PARTS: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Write the gradients of x, weight and bias; with ADDS, gradient is that of what was added, past the clamp."""
    columns = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    valid = columns < channels
    slab = tl.arange(0, PARTS)
    within = (slab < slabs)[:, None] & valid[None, :]
    sums = slab[:, None] * channels + columns[None, :]
    total = tl.sum(tl.load(totals + sums, mask=within, other=0.0), 0)
    product = tl.sum(tl.load(products + sums, mask=within, other=0.0), 0)
    middle = tl.load(mean + columns, mask=valid, other=0.0)
    over = tl.load(inverse + columns, mask=valid, other=0.0)
    if tl.program_id(0) == 0:
        tl.store(of_bias + columns, total, mask=valid)
        tl.store(of_weight + columns, over * product, mask=valid)
    scale = tl.load(weight + columns, mask=valid, other=0.0) * over
    shift = tl.load(bias + columns, mask=valid, other=0.0) - middle * scale
    per_distance = -scale * over * over * product / rows
    constant = -scale * total / rows
    for first in range(tl.program_id(0) * TALL, rows, tl.num_programs(0) * TALL):
        at = first + tl.arange(0, TALL)
        inside = (at < rows)[:, None] & valid[None, :]
        places = at.to(tl.int64)[:, None] * channels + columns[None, :]
        value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
        through = tl.load(gradient + places, mask=inside, other=0.0).to(tl.float32)
        if not ADDS:
            result = value * scale[None, :] + shift[None, :]
            through = tl.where((result > low) & (result < high), through, 0.0)
        into = scale[None, :] * through + per_distance[None, :] * (value - middle[None, :]) + constant[None, :]
        tl.store(of_x + places, into.to(of_x.dtype.element_ty), mask=inside)


class _Grid:
    """The blocks that some images are cut into."""

    def __init__(self, x: Tensor) -> None:
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        self.wide = min(64, max(16, triton.next_power_of_2(self.channels)))
        self.tall = VALUES // self.wide
        blocks = triton.cdiv(self.rows, self.tall)
        self.groups = triton.cdiv(self.channels, self.wide)
        self.height = triton.cdiv(blocks, SLABS) * self.tall
        self.slabs = triton.cdiv(self.rows, self.height)
        self.sums, self.all = (self.slabs, self.groups), (min(blocks, BLOCKS), self.groups)

    def partial(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return memory for two sums of each slab and channel, in fp32."""
        shape = (self.slabs, self.channels)
        first, second = (torch.empty(shape, dtype=torch.float32, device=like.device) for _ in range(2))
        return first, second


def clamped_norm(
    x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
    momentum: float, eps: float, low: float, high: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the output, and the batch's mean and inverse deviation; update the running statistics."""
    x, grid, adds = _channels_last(x), _Grid(x), added is not None
    output, mean, inverse = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    means, squares = grid.partial(x)
    sizes = (grid.rows, grid.channels, grid.height)
    with _on(x):
        _moments[grid.sums](x, means, squares, *sizes, TALL=grid.tall, WIDE=grid.wide)
        _normalise[grid.all](
            *(x, x if added is None else _channels_last(added), output, weight, bias, means, squares),
            *(running_mean, running_var, mean, inverse, momentum, eps, low, high, *sizes, grid.slabs),
            **{"ADDS": adds, "TRAINS": True, "PARTS": SLABS, "TALL": grid.tall, "WIDE": grid.wide},
        )
    return output, mean, inverse


def clamped_norm_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, output: Tensor | None, mean: Tensor, inverse: Tensor,
    low: float, high: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of x, weight and bias, and of what was added, empty if nothing was."""
    gradient, x, grid, adds = _channels_last(gradient), _channels_last(x), _Grid(x), output is not None
    of_x, of_weight, of_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
    of_added = torch.empty_like(x) if adds else x.new_empty(0)
    totals, products = grid.partial(x)
    vectors, bounds = (weight, bias, mean, inverse, totals, products), (low, high, grid.rows, grid.channels)
    shape = {"ADDS": adds, "TALL": grid.tall, "WIDE": grid.wide}
    with _on(x):
        images = (gradient, x, x if output is None else output, of_added)
        _gradient_sums[grid.sums](*images, *vectors, *bounds, grid.height, **shape)
        source = of_added if adds else gradient
        _gradients[grid.all](source, x, of_x, of_weight, of_bias, *vectors, *bounds, grid.slabs, PARTS=SLABS, **shape)
    return of_x, of_weight, of_bias, of_added


def evaluated_norm(
    x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
    eps: float, low: float, high: float,
) -> Tensor:  # fmt: skip
    """Return the output of an evaluation."""
    x, grid = _channels_last(x), _Grid(x)
    output = torch.empty_like(x)
    with _on(x):
        _normalise[grid.all](
            *(x, x if added is None else _channels_last(added), output, weight, bias, weight, weight),
            *(running_mean, running_var, weight, weight, 0.0, eps, low, high, grid.rows, grid.channels, 0, 0),
            **{"ADDS": added is not None, "TRAINS": False, "PARTS": SLABS, "TALL": grid.tall, "WIDE": grid.wide},
        )
    return output


def register(operators: Any) -> None:
    """Make these functions the operators of GPUs."""
    for function in (clamped_norm, clamped_norm_backward, evaluated_norm):
        operators.impl(function.__name__, function, "CUDA")


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _on(images: Tensor) -> AbstractContextManager[object]:
    """Return a context in which Triton launches on the images' device."""
    return torch.cuda.device(images.device) if images.device.type == "cuda" else nullcontext()
