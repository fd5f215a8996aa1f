"""The kernels that a step launches on a GPU, counted by operation, without a GPU."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.fixtures import LEARNING_RATE, pruned_network
from engine.dataset import Dataset
from engine.models.batch_norm import ClampedNorm2d
from engine.study.recipe import Recipe, Schedule
from engine.training.augment import to_device
from engine.training.sgd import Training

# These reserve memory or name it anew, though by their schema they are no views.
_WITHOUT_KERNEL = ("empty", "new_empty", "_unsafe_view", "set_")
# The operations that launch several kernels on a GPU: those that fill with zeros before they write, batch norm as
# PyTorch computes it in channels-last order, and engine.models.batch_norm_gpu.
_SEVERAL = {
    "constant_pad_nd": 2,
    "slice_backward": 2,
    "max_pool2d_with_indices_backward": 2,
    "nll_loss_backward": 2,
    "native_batch_norm": 3,
    "native_batch_norm_backward": 2,
    "clamped_norm": 2,
    "clamped_norm_backward": 2,
}
# One launch of PyTorch's kernels over lists takes at most this many tensors of two lists, and blocks of CHUNK values.
TENSORS, BLOCKS, CHUNK = 64, 320, 65536


class Kernels(TorchDispatchMode):
    """Counts the kernels that the operations of a block launch on a GPU, by the operations' names.

    An operation is what PyTorch's dispatcher calls below autograd and autocast; so the backward pass and each cast
    count. Views and other changes of shapes and strides alone do not count, nor does reserving memory. Convolution
    backward counts once for each gradient that it computes; an operation over lists of tensors once for each launch,
    or for each tensor where those of its lists differ in strides; those of _SEVERAL as often as named there, by
    PyTorch's source; all others once. Libraries may launch more, such as a conversion of layouts by cuDNN.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = op.overloadpacket.__name__
        if not (op.is_view or name.startswith(_WITHOUT_KERNEL)):
            self.counts[name] += _launches(name, args)
        return op(*args, **(kwargs or {}))


def _launches(name: str, arguments: Any) -> int:
    if name == "convolution_backward":
        return sum(arguments[-1])
    if not name.startswith("_foreach"):
        return _SEVERAL.get(name, 1)
    first, *others = [list(argument) for argument in arguments if isinstance(argument, (list, tuple))]
    if any([tensor.stride() for tensor in other] != [tensor.stride() for tensor in first] for other in others):
        return len(first)
    blocks = sum(math.ceil(tensor.numel() / CHUNK) for tensor in first)
    return max(math.ceil(len(first) / TENSORS), math.ceil(blocks / BLOCKS))


def kernels_of_step(network: str, precision: str, dataset: Dataset, fused: bool) -> Counter[str]:
    """Return how many kernels a GPU launches in a step of a pruned network, by operation.

    The step is one of two images on a CPU, with a GPU's layers; neither changes the operations. fused: with batch norm,
    sum and ReLU as one operation each way, of two launches, as Triton's kernels are on a GPU and the loops of
    `engine.models.batch_norm_cpu` here.
    """
    before = torch.get_num_threads()
    # With several threads a CPU does not fuse.
    torch.set_num_threads(1)
    try:
        return _counted(network, precision, dataset, fused)
    finally:
        torch.set_num_threads(before)


def _counted(network: str, precision: str, dataset: Dataset, fused: bool) -> Counter[str]:
    few = replace(
        dataset,
        train_images=dataset.train_images[:4],
        train_labels=dataset.train_labels[:4],
        test_images=dataset.test_images[:2],
        test_labels=dataset.test_labels[:2],
    )
    recipe = Recipe(epochs=2, batch_size=2, precision=precision)
    built, mask = pruned_network(network, dataset, seed=0)
    for module in built.modules():
        if isinstance(module, ClampedNorm2d):
            module.fused = fused
    data = to_device(few, recipe.augmentation, torch.device("cpu"))
    schedule = Schedule(recipe, LEARNING_RATE, recipe.epochs, 0, "benchmark")
    training = Training(built, data, schedule, mask, layers_for=torch.device("cuda"))
    training.begin_epoch()
    with Kernels() as kernels:
        training.step(2)
    return kernels.counts
