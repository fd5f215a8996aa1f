"""The plain loop of most research repositories: torchvision and PIL through a DataLoader, eager, in fp32."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmarks.fixtures import LEARNING_RATE, pruned_network
from engine.dataset import Dataset
from engine.models.batch_norm import ClampedNorm2d
from engine.models.torchvision_compat import torchvision
from engine.study.recipe import Recipe

PADDING = 4


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Images as `torchvision.datasets.CIFAR10` returns them: an array in memory, a PIL image at each access."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Any) -> None:
        self._images, self._labels, self._transform = images.numpy(), labels.tolist(), transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        array = self._images[index]
        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        return self._transform(image), self._labels[index]


def with_pytorch_layers(network: nn.Module) -> nn.Module:
    """Return a network that computes by PyTorch's own layers instead of ours."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return with_pytorch_norms(network)


def with_pytorch_norms(network: nn.Module) -> nn.Module:
    """Return a network whose batch norms are PyTorch's operators instead of ours."""
    for module in network.modules():
        if isinstance(module, ClampedNorm2d):
            module.fused = False
    return network


class PlainLoop:
    """One network trained under a mask that is multiplied in after each step.

    network: with its starting weights. mask: a bool for each prunable weight, by layer. loaders: processes that load
    images.
    """

    def __init__(
        self,
        network: nn.Module,
        mask: Mapping[str, Tensor],
        dataset: Dataset,
        recipe: Recipe,
        learning_rate: float,
        device: torch.device,
        loaders: int = 0,
    ) -> None:
        self._recipe, self._initial, self._device = recipe, learning_rate, device
        self._network = with_pytorch_layers(network).to(device)
        self._masks = {name: remaining.to(device, torch.float32) for name, remaining in mask.items()}
        self._optimiser = torch.optim.SGD(
            network.parameters(), lr=learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self._epoch = 0
        common: dict[str, Any] = {
            "num_workers": loaders,
            "pin_memory": device.type == "cuda",
            "persistent_workers": loaders > 0,
            # Scripts fork their loaders by default on Linux.
            "multiprocessing_context": "fork" if loaders else None,
        }
        train, test = _transforms(dataset, recipe.augmentation)
        self._train = DataLoader(
            Pictures(dataset.train_images, dataset.train_labels, train), recipe.batch_size, shuffle=True, **common
        )
        self._test = DataLoader(
            Pictures(dataset.test_images, dataset.test_labels, test), recipe.batch_size, shuffle=False, **common
        )
        self._apply_mask()

    def run_epoch(self) -> float:
        """Train one epoch, evaluate, and return the test accuracy in percent."""
        self.train_epoch()
        return self._evaluate()

    def train_epoch(self) -> None:
        """Train one epoch."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.learning_rate(self._initial, self._epoch, self._recipe.epochs)
        self._network.train()
        total_loss = 0.0
        for images, targets in self._train:
            images, targets = images.to(self._device), targets.to(self._device)
            self._optimiser.zero_grad()
            loss = F.cross_entropy(self._network(images), targets)
            loss.backward()
            self._optimiser.step()
            self._apply_mask()
            total_loss += loss.item()
        self._epoch += 1

    @torch.no_grad()
    def _evaluate(self) -> float:
        self._network.eval()
        hits = total = 0
        for images, targets in self._test:
            images, targets = images.to(self._device), targets.to(self._device)
            hits += int((self._network(images).argmax(1) == targets).sum().item())
            total += len(targets)
        return 100.0 * hits / total

    @torch.no_grad()
    def _apply_mask(self) -> None:
        for name, parameter in self._network.named_parameters():
            if name in self._masks:
                parameter.mul_(self._masks[name])


def plain_loop(
    network: str,
    dataset: Dataset,
    recipe: Recipe,
    device: torch.device,
    loaders: int,
    threads: int,
    seed: int = 0,
    rate: float = LEARNING_RATE,
) -> PlainLoop:
    """Return a plain loop over the network that `pruned_training` begins with, for a process of its own."""
    torch.set_num_threads(threads)
    # This seed decides the order and augmentation of the images.
    torch.manual_seed(seed)
    return PlainLoop(*pruned_network(network, dataset, seed), dataset, recipe, rate, device, loaders)


def _transforms(dataset: Dataset, augmentation: str) -> tuple[Any, Any]:
    """Return torchvision's transforms of training and test images."""
    kinds = torchvision().transforms
    pixels = dataset.train_images.double().flatten(0, 2) / 255
    normalise = [kinds.ToTensor(), kinds.Normalize(pixels.mean(0).tolist(), pixels.std(0).clamp(min=1 / 255).tolist())]
    changes = []
    if augmentation in ("crop_flip", "crop"):
        changes.append(kinds.RandomCrop(dataset.image_size, padding=PADDING))
    if augmentation in ("crop_flip", "flip"):
        changes.append(kinds.RandomHorizontalFlip())
    return kinds.Compose([*changes, *normalise]), kinds.Compose(normalise)
