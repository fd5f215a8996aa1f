"""Batch norm as compiled loops over images, in fewer passes over memory than PyTorch's operators.

Images are arrays (rows, columns) of fp32, or of bf16 as uint16; a row is a few pixels with channels last. Vectors
(channels,) are weight and bias, and in fp64 the batch's mean and the inverse of its standard deviation. The only
relaxation of IEEE 754 is that products and sums may be contracted; NaN stays NaN.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic, overload

from engine.models.batch_norm import Array

# This many rows stay in a core's cache and are summed in fp32; the sums of blocks are added in fp64.
BLOCK = 32


class _DiskCache(FunctionCache):  # type: ignore[misc]
    """numba's cache of a compiled function: beside this file, or in ~/.cache, or in NUMBA_CACHE_DIR."""

    def save_overload(self, sig, data):
        """Save the compiled code if the disk has room; a process without it compiles anew."""
        with suppress(OSError):
            super().save_overload(sig, data)


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loop that numba compiles at the first call, and saves for other processes if it can."""
    fast: Any = njit(nogil=True, error_model="numpy", fastmath={"contract"})(loop)
    # RuntimeError means that no folder for the cache is writable.
    with suppress(RuntimeError):
        fast._cache = _DiskCache(loop)
    return fast  # type: ignore[no-any-return]


@compiled
def normalise_batch(
    x: Array,
    added: Array | None,
    output: Array,
    weight: Array,
    bias: Array,
    running_mean: Array,
    running_variance: Array,
    momentum: float,
    eps: float,
    low: np.float32,
    high: np.float32,
) -> tuple[Array, Array]:
    """Normalise by the batch's statistics, update the running ones, and return the batch's mean and inverse deviation.

    output is written as by `normalise`.
    """
    channels = len(weight)
    mean, squares = _moments(x, channels)
    count = x.size // channels
    for channel in range(channels):
        unbiased = squares[channel] / (count - 1)
        running_mean[channel] += momentum * (mean[channel] - running_mean[channel])
        running_variance[channel] += momentum * (unbiased - running_variance[channel])
    inverse = 1 / np.sqrt(squares / count + eps)
    normalise(x, added, output, weight, bias, mean, inverse, low, high)
    return mean, inverse


@compiled
def normalise(
    x: Array,
    added: Array | None,
    output: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inverse: Array,
    low: np.float32,
    high: np.float32,
) -> None:
    """Write weight * (x - mean) * inverse + bias, plus added unless it is None, clamped from low to high, to output."""
    rows, columns = x.shape
    scale, shift = _affine(weight, bias, mean, inverse, columns)
    for i in range(rows):
        row, into = x[i], output[i]
        for j in range(columns):
            value = _get(row, j) * scale[j] + shift[j]
            if added is not None:
                value += _get(added[i], j)
            value = low if value < low else value
            value = high if value > high else value
            _put(into, j, value)


@compiled
def gradients(
    gradient: Array,
    x: Array,
    output: Array | None,
    of_added: Array | None,
    of_x: Array,
    of_weight: Array,
    of_bias: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inverse: Array,
    low: np.float32,
    high: np.float32,
) -> None:
    """Write the gradients of all inputs of `normalise_batch` to of_added, of_x, of_weight and of_bias.

    gradient: that of its output. output: its output if something was added; else None, and of_added too, because x then
    suffices to find the values that the clamp did not change.
    """
    rows, columns = x.shape
    channels = len(weight)
    total, product = _gradient_sums(gradient, x, output, of_added, weight, bias, mean, inverse, low, high)
    of_bias[:] = total
    of_weight[:] = inverse * product
    if of_added is not None:
        source, low, high = of_added, np.float32(-np.inf), np.float32(np.inf)
    else:
        source = gradient
    scale, shift = _affine(weight, bias, mean, inverse, columns)
    middle = _wide(mean, columns)
    slope, count = weight * inverse, x.size // channels
    per_gradient = _wide(slope, columns)
    per_distance = _wide(-slope * inverse * inverse * product / count, columns)
    constant = _wide(-slope * total / count, columns)
    for i in range(rows):
        row, from_row, into = x[i], source[i], of_x[i]
        for j in range(columns):
            value = _get(row, j)
            before = value * scale[j] + shift[j]
            through = _get(from_row, j) if (before > low) & (before < high) else np.float32(0)
            _put(into, j, per_gradient[j] * through + (per_distance[j] * (value - middle[j]) + constant[j]))


@compiled
def _moments(x: Array, channels: int) -> tuple[Array, Array]:
    """Return the mean and the sum of squared distances to it by channel, (channels,) in fp64."""
    rows, columns = x.shape
    mean, squares = np.zeros(columns), np.zeros(columns)
    near_mean, near_squares = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for begin in range(0, rows, BLOCK):
        end = min(rows, begin + BLOCK)
        count = np.float32(end - begin)
        near_mean[:] = 0
        near_squares[:] = 0
        for i in range(begin, end):
            row = x[i]
            for j in range(columns):
                near_mean[j] += _get(row, j)
        for j in range(columns):
            near_mean[j] /= count
        for i in range(begin, end):
            row = x[i]
            for j in range(columns):
                distance = _get(row, j) - near_mean[j]
                near_squares[j] += distance * distance
        # The block's moments are merged with the previous ones after Chan, Golub and LeVeque 1983.
        share = count / end
        for j in range(columns):
            apart = near_mean[j] - mean[j]
            mean[j] += share * apart
            squares[j] += near_squares[j] + apart * apart * share * begin
    whole = _by_channel(mean, channels) / (columns // channels)
    for j in range(columns):
        apart = mean[j] - whole[j % channels]
        squares[j] += rows * apart * apart
    return whole, _by_channel(squares, channels)


@compiled
def _gradient_sums(
    gradient: Array,
    x: Array,
    output: Array | None,
    passed: Array | None,
    weight: Array,
    bias: Array,
    mean: Array,
    inverse: Array,
    low: np.float32,
    high: np.float32,
) -> tuple[Array, Array]:
    """Return two sums by channel, of the gradients that pass the clamp and of these times x - mean.

    passed: an array that gets the gradients that pass the clamp, or None.
    """
    rows, columns = x.shape
    scale, shift = _affine(weight, bias, mean, inverse, columns)
    middle = _wide(mean, columns)
    total, product = np.zeros(columns), np.zeros(columns)
    near_total, near_product = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for begin in range(0, rows, BLOCK):
        near_total[:] = 0
        near_product[:] = 0
        for i in range(begin, min(rows, begin + BLOCK)):
            row, from_row = x[i], gradient[i]
            for j in range(columns):
                value = _get(row, j)
                if output is None:  # noqa: SIM108  numba leaves out a branch, not half of an expression
                    result = value * scale[j] + shift[j]
                else:
                    result = _get(output[i], j)
                through = _get(from_row, j) if (result > low) & (result < high) else np.float32(0)
                if passed is not None:
                    _put(passed[i], j, through)
                near_total[j] += through
                near_product[j] += through * (value - middle[j])
        for j in range(columns):
            total[j] += near_total[j]
            product[j] += near_product[j]
    return _by_channel(total, len(mean)), _by_channel(product, len(mean))


@compiled
def _affine(weight: Array, bias: Array, mean: Array, inverse: Array, columns: int) -> tuple[Array, Array]:
    """Return the factor of x and the summand that normalise it, both (columns,)."""
    scale = weight * inverse
    return _wide(scale, columns), _wide(bias - mean * scale, columns)


@compiled
def _wide(vector: Array, columns: int) -> Array:
    """Return a vector (channels,) repeated for each pixel of a row, (columns,) in fp32."""
    channels = len(vector)
    wide = np.empty(columns, np.float32)
    for j in range(columns):
        wide[j] = vector[j % channels]
    return wide


@compiled
def _by_channel(sums: Array, channels: int) -> Array:
    """Return sums (columns,) added up over the pixels of a row, (channels,)."""
    totals = np.zeros(channels)
    for j in range(len(sums)):
        totals[j % channels] += sums[j]
    return totals


def _get(row: Array, j: int) -> Any:
    """Return one value of a row, in fp32; in compiled loops it is `_typed_get`."""


def _put(row: Array, j: int, value: Any) -> None:
    """Set one value of a row, in bf16 rounded half to even; in compiled loops it is `_typed_put`."""


@overload(_get, inline="always")
def _typed_get(row, j):
    if row.dtype == types.uint16:
        return lambda row, j: _float(np.uint32(row[j]) << np.uint32(16))
    return lambda row, j: row[j]


@overload(_put, inline="always")
def _typed_put(row, j, value):
    if row.dtype != types.uint16:

        def put(row, j, value):
            row[j] = value

        return put

    def put_rounded(row, j, value):
        bits = _bits(value)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        # Rounding could turn a NaN into a number.
        row[j] = np.uint16(rounded) if value == value else np.uint16(0x7FC0)

    return put_rounded


@intrinsic
def _float(typing, bits):
    def same(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), same


@intrinsic
def _bits(typing, value):
    def same(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), same
