"""The weights in a bundle, opened by safetensors alone and compared with the result that they belong to."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor

from data.artifacts.checksums import Damaged, open_tensors
from engine.masks import content_hash, sparsity
from engine.stages.runner import saved_weights
from engine.study.plan import Stage
from engine.study.results import StageResult

Tensors = Mapping[str, Tensor]

# The most tensors of a network, and the most characters of a name.
MOST_TENSORS, LONGEST_NAME = 10_000, 200
_DTYPES = (torch.float32, torch.int64)


def opened(content: bytes, name: str) -> dict[str, Tensor]:
    """Return the tensors of a member; name: of the weights. Damaged or ValueError for what no stage saves."""
    try:
        tensors = open_tensors(content)
    except (SafetensorError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise Damaged(str(error)) from error
    if not 1 <= len(tensors) <= MOST_TENSORS:
        raise ValueError(f"it has {len(tensors):,} tensors; allowed: 1 to {MOST_TENSORS:,}")
    for layer, tensor in tensors.items():
        if len(layer) > LONGEST_NAME or not layer.isprintable():
            raise ValueError(f"a tensor has the name {layer[:80]!a}")
        allowed = (torch.bool,) if name == "mask" else _DTYPES
        if tensor.dtype not in allowed:
            raise ValueError(f"{layer} is of type {tensor.dtype}; allowed: {', '.join(map(str, allowed))}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{layer} has numbers that are not finite")
    return tensors


def require_fitting(stage: Stage, result: StageResult, weights: Mapping[str, Tensors]) -> None:
    """Raise ValueError unless weights, by name, are all that a stage with this result has saved, and fit together."""
    if set(weights) != set(saved_weights(stage, result)):
        expected = ", ".join(saved_weights(stage, result)) or "none"
        raise ValueError(f"it has the weights {', '.join(weights) or 'none'}; a stage with this result has {expected}")
    trained = shapes(weights["trained"])
    for name, tensors in weights.items():
        if name in ("mask", "movement"):
            if strange := [layer for layer, shape in shapes(tensors).items() if trained.get(layer) != shape]:
                raise ValueError(
                    f"its {name} has {strange[0]}, which the trained weights have not, or of another shape"
                )
        elif shapes(tensors) != trained:
            raise ValueError(f"its {name} weights have other names or shapes than the trained ones")
    if mask := weights.get("mask"):
        if result.mask is not None and content_hash(mask) != result.mask:
            raise ValueError("its mask is not the one that the result names")
        if abs(sparsity(mask) - result.sparsity) > 1e-6:
            raise ValueError(
                f"its mask removes {sparsity(mask):.4f} of the weights; the result says {result.sparsity:.4f}"
            )
        for layer, kept in mask.items():
            if bool((weights["trained"][layer][~kept] != 0).any()):
                raise ValueError(f"{layer} has weights where the mask has none")


def shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by its name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
