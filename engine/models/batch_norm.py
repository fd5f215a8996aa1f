"""Batch norm fused with the sum and the clamp that follow it, on a CPU and a GPU; elsewhere PyTorch's own."""

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

    Output, gradients and running statistics equal those of `nn.BatchNorm2d` and then the clamp, up to rounding. Batches
    are not counted: `num_batches_tracked` stays as it is loaded. fused: whether a single-threaded CPU or a GPU computes
    all of it in one operation each way. On AVX-512, this reduced the time forward and backward for 128 images outside
    the cache, of 16 channels and 32x32 pixels, with a ReLU, from 8.0 to 4.9 ms in fp32, and from 8.4 to 3.1 ms in bf16.
    """

    fused = True
    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def __init__(self, channels: int, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__(channels)
        self.low, self.high = low, high

    def forward(self, input: Tensor, added: Tensor | None = None) -> Tensor:
        """Normalise, add a tensor of the same shape if there is one, and clamp."""
        self._check_input_dim(input)
        return self._fused(input, added) if self._fuses(input, added) else self._plain(input, added)

    def _fused(self, input: Tensor, added: Tensor | None) -> Tensor:
        if self.training:
            return _ClampedNorm.apply(input, self.weight, self.bias, added, self)  # type: ignore[no-any-return, no-untyped-call]
        vectors = (self.weight, self.bias, self.running_mean, self.running_var)
        return torch.ops.ticketscope.evaluated_norm(input, added, *vectors, self.eps, self.low, self.high)  # type: ignore[no-any-return]

    def _plain(self, input: Tensor, added: Tensor | None) -> Tensor:
        settings = (self.training, self.momentum, self.eps)
        output = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, *settings)
        if added is not None:
            output += added
        if (self.low, self.high) == (-math.inf, math.inf):
            return output
        if (self.low, self.high) == (0, math.inf):
            return F.relu(output, inplace=True)
        # In place, PyTorch would first copy the input, which the backward pass needs.
        return F.hardtanh(output, self.low, self.high)

    def _fuses(self, input: Tensor, added: Tensor | None) -> bool:
        """Return whether to fuse: on a GPU or a single-threaded CPU, in training or without gradients.

        Wrong shapes go to PyTorch, which raises the error.
        """
        return (
            self.fused
            and (input.dtype in (torch.float32, torch.bfloat16) and self.weight.dtype == torch.float32)
            and input.shape[1] == self.num_features
            and (added is None or (added.shape == input.shape and added.dtype == input.dtype))
            and (input.numel() > self.num_features if self.training else not torch.is_grad_enabled())
            and _can_fuse(input.device)
        )


def _can_fuse(device: torch.device) -> bool:
    if device.type == "cpu":
        return torch.get_num_threads() == 1 and _loops() is not None
    return device.type == "cuda" and _kernels(device) is not None


class _ClampedNorm(torch.autograd.Function):
    """The fused operation in training: it normalises by the batch's statistics and updates the running ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, added: Tensor | None, norm: ClampedNorm2d) -> Tensor:
        ctx.bounds = (norm.low, norm.high)
        statistics = (norm.running_mean, norm.running_var, norm.momentum, norm.eps)
        output, mean, inverse = torch.ops.ticketscope.clamped_norm(x, added, weight, bias, *statistics, *ctx.bounds)
        ctx.save_for_backward(x, weight, bias, None if added is None else output, mean, inverse)
        return output  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = torch.ops.ticketscope.clamped_norm_backward(gradient, *ctx.saved_tensors, *ctx.bounds)
        of_x, of_weight, of_bias, of_added = gradients
        return of_x, of_weight, of_bias, of_added if ctx.needs_input_grad[3] else None, None


# As operators of PyTorch's dispatcher, the loops of a CPU and the kernels of a GPU are seen by whatever records a step.
_OPERATORS = torch.library.Library("ticketscope", "FRAGMENT")
_OPERATORS.define(
    # The statistics of the batch are mean and inverse deviation.
    "clamped_norm(Tensor x, Tensor? added, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var,"
    " float momentum, float eps, float low, float high) -> (Tensor, Tensor, Tensor)"
)
_OPERATORS.define(
    # output: None if nothing was added; the gradient of what was added is then empty.
    "clamped_norm_backward(Tensor gradient, Tensor x, Tensor weight, Tensor bias, Tensor? output, Tensor mean,"
    " Tensor inverse, float low, float high) -> (Tensor, Tensor, Tensor, Tensor)"
)
_OPERATORS.define(
    "evaluated_norm(Tensor x, Tensor? added, Tensor weight, Tensor bias, Tensor running_mean, Tensor running_var,"
    " float eps, float low, float high) -> Tensor"
)


def _on_cpu(
    x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
    momentum: float, eps: float, low: float, high: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    output = _empty(x)
    mean, inverse = _loops().normalise_batch(
        _rows(x),
        None if added is None else _rows(added),
        _rows(output),
        *map(_vector, (weight, bias, running_mean, running_var)),
        *(momentum, eps, np.float32(low), np.float32(high)),
    )
    return output, torch.from_numpy(mean), torch.from_numpy(inverse)


def _backward_on_cpu(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, output: Tensor | None, mean: Tensor, inverse: Tensor,
    low: float, high: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    of_x, of_added = _empty(x), None if output is None else _empty(x)
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
    images = (None if tensor is None else _rows(tensor) for tensor in (gradient, x, output, of_added, of_x))
    vectors = map(_vector, (of_weight, of_bias, weight, bias, mean, inverse))
    _loops().gradients(*images, *vectors, np.float32(low), np.float32(high))
    return of_x, of_weight, of_bias, x.new_empty(0) if of_added is None else of_added


def _evaluated_on_cpu(
    x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
    eps: float, low: float, high: float,
) -> Tensor:  # fmt: skip
    output = _empty(x)
    vectors = [_vector(tensor) for tensor in (weight, bias, running_mean)]
    inverse = 1 / np.sqrt(_vector(running_var).astype(np.float64) + eps)
    images = (_rows(x), None if added is None else _rows(added), _rows(output))
    _loops().normalise(*images, *vectors, inverse, np.float32(low), np.float32(high))
    return output


_OPERATORS.impl("clamped_norm", _on_cpu, "CPU")
_OPERATORS.impl("clamped_norm_backward", _backward_on_cpu, "CPU")
_OPERATORS.impl("evaluated_norm", _evaluated_on_cpu, "CPU")


@cache
def _kernels(device: torch.device) -> Any:
    """Return `engine.models.batch_norm_gpu`, whose kernels are compiled at their first use.

    None where they cannot be compiled or differ from PyTorch's operators on the device, which then take their place.
    """
    try:
        kernels = import_module("engine.models.batch_norm_gpu")
        kernels.register(_OPERATORS)
        check(device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Compilers and drivers raise errors of many types.
        log.warning("batch norm is slower here, since its compiled kernels cannot be used: %s", error)
        return None
    return kernels


def check(device: torch.device) -> None:
    """Compare the fused operations with PyTorch's on a device; RuntimeError where they differ beyond rounding."""
    draws = torch.Generator().manual_seed(0)
    for dtype, near in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
        for shape, adds, high in (((4, 24, 5, 3), True, math.inf), ((8, 100, 12, 9), False, 6.0)):
            x, added, gradient = (torch.randn(shape, generator=draws).to(device, dtype) for _ in range(3))
            scale = torch.rand(shape[1], generator=draws).add(0.5).to(device)
            inputs = (x, added if adds else None)
            ours, plain = (_outcome(kind, inputs, gradient, scale, high) for kind in ("_fused", "_plain"))
            for a, b in zip(ours, plain, strict=True):
                # A NaN is further away than any number.
                if not float((a - b).norm()) <= near * float(b.norm()):
                    raise RuntimeError(f"in {dtype} and shape {shape} they differ from PyTorch's by more than rounding")


def _outcome(
    kind: str, inputs: tuple[Tensor, Tensor | None], gradient: Tensor, scale: Tensor, high: float
) -> list[Tensor]:
    """Return outputs, gradients and statistics of a step and an evaluation, in fp64."""
    norm = ClampedNorm2d(len(scale), 0.0, high).to(scale.device)
    norm.load_state_dict({**norm.state_dict(), "weight": scale, "bias": scale - 1})
    x, added = (None if tensor is None else tensor.detach().requires_grad_() for tensor in inputs)
    with torch.enable_grad():
        output = getattr(norm, kind)(x, added)
        sources = [tensor for tensor in (x, added, norm.weight, norm.bias) if tensor is not None]
        gradients = torch.autograd.grad(output, sources, gradient)
    norm.eval()
    with torch.no_grad():
        evaluated = getattr(norm, kind)(x, added)
    return [tensor.detach().double() for tensor in (output, *gradients, norm.running_mean, norm.running_var, evaluated)]


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


def _vector(per_channel: Tensor) -> Array:
    return per_channel.detach().numpy()
