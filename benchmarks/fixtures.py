"""Plans, images and pruned networks for benchmarks."""

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.options import ENLARGED
from data.datasets.loading import load_images
from data.datasets.registry import identity
from engine.dataset import Dataset
from engine.masks import magnitude_mask
from engine.models.networks import build, prunable
from engine.seeds import global_seed
from engine.study.plan import Images, Plan, plan
from engine.study.recipe import Recipe, Schedule
from engine.study.spec import Study
from engine.training.augment import DeviceData
from engine.training.sgd import Training

SPARSITY = 0.8
LEARNING_RATE = 0.05
# The training and test images of CIFAR.
TRAIN, TEST = 50_000, 10_000


def planned(study: Study) -> Plan:
    """Return a study's plan on the bundled and known datasets, without downloading them."""
    return plan(study, {dataset: identity(dataset, Path()) for dataset in study.datasets})


def now(device: torch.device) -> float:
    """Wait until a device has finished its work, and return the seconds of a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def images(name: str, home: Path, train: int | None, test: int | None) -> Dataset:
    """Return a dataset by its name in a study, or enlarged digits; train, test: numbers, the same for every class."""
    source = "digits" if name == ENLARGED else name
    loaded = load_images(Images(name=source, identity=identity(source, home), train=train, test=test), home)
    if name == ENLARGED:
        return replace(loaded, train_images=_enlarged(loaded.train_images), test_images=_enlarged(loaded.test_images))
    return loaded


def _enlarged(digits: Tensor) -> Tensor:
    return digits.repeat_interleave(4, 1).repeat_interleave(4, 2).repeat(1, 1, 1, 3).contiguous()


def pruned_network(name: str, dataset: Dataset, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a freshly initialised network, without its mask, and the mask of its largest weights."""
    with global_seed(seed, "benchmark"):
        network = build(name, dataset.channels, dataset.image_size, len(dataset.classes))
    weights = network.state_dict()
    return network, magnitude_mask({layer: weights[layer] for layer in prunable(network)}, SPARSITY)


def pruned_training(
    name: str,
    dataset: Dataset,
    data: DeviceData,
    recipe: Recipe,
    seed: int,
    graphs: bool = True,
    rate: float = LEARNING_RATE,
) -> Training:
    """Return the engine's training of `pruned_network`; graphs: whether it uses CUDA graphs on a GPU."""
    network, mask = pruned_network(name, dataset, seed)
    schedule = Schedule(recipe, rate, recipe.epochs, seed, "benchmark")
    on_device = {layer: remaining.to(data.device) for layer, remaining in mask.items()}
    return Training(network.to(data.device), data, schedule, on_device, graphs)
