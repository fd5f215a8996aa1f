"""A small made dataset that can be learned, and weights that are saved in memory."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.stages.weights import WeightsLost
from engine.study.plan import Images, Plan, Stage, plan
from engine.study.results import Epoch, StageResult
from engine.study.spec import Study, parse_study
from engine.training.augment import DeviceData, Feed

# The networks that Ticketscope brings along; a user may have added others to NETWORKS.
BUILT_IN_NETWORKS = ("resnet20", "vgg11", "mobilenet_v2", "lenet300")
# A study that leaves its starts out has all of STARTS.
BUILT_IN_STARTS = ("winning_ticket", "reinit", "rewind", "finetune")


def made_dataset(train: int = 96, test: int = 48, size: int = 8, channels: int = 1, classes: int = 4) -> Dataset:
    """Return noisy images whose class is the quarter that is bright."""
    draws = torch.Generator().manual_seed(7)

    def images(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % classes
        pixels = torch.randint(0, 120, (count, size, size, channels), generator=draws)
        half = size // 2
        for index, label in enumerate(labels.tolist()):
            row, column = divmod(label % 4, 2)
            pixels[index, row * half : (row + 1) * half, column * half : (column + 1) * half] += 100
        return pixels.to(torch.uint8), labels

    return Dataset(*images(train), *images(test), tuple(str(i) for i in range(classes)))


def batches(data: DeviceData, batch_size: int, seed: int, purpose: str, epoch: int) -> list[tuple[Tensor, Tensor]]:
    """Return one epoch's images and labels, batch by batch."""
    feed = Feed(data, batch_size)
    feed.draw(seed, purpose, epoch)
    return [feed.next(size)[:2] for size in feed.sizes]


class MemoryWeights:
    """The engine's Weights in dictionaries; a test that runs a stage puts its result into `results`."""

    def __init__(self) -> None:
        self.saved: dict[tuple[str, str], dict[str, Tensor]] = {}
        self.results: dict[str, StageResult] = {}

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None:
        self.saved[fingerprint, name] = {key: tensor.clone() for key, tensor in tensors.items()}

    def load(self, fingerprint: str, name: str) -> dict[str, Tensor]:
        if (fingerprint, name) not in self.saved:
            raise WeightsLost(fingerprint, name, f"no {name} weights of stage {fingerprint}")
        return {key: tensor.clone() for key, tensor in self.saved[fingerprint, name].items()}

    def exists(self, fingerprint: str, name: str) -> bool:
        return (fingerprint, name) in self.saved

    def result(self, fingerprint: str) -> StageResult | None:
        return self.results.get(fingerprint)


class Listener:
    """An observer that collects the epochs of a stage and stops it after one of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.heard: list[Epoch] = []
        self.committed: list[Epoch] = []
        self.slow: list[str] = []
        self.stop_after = stop_after

    def epoch(self, row: Epoch, total: int) -> bool:
        self.heard.append(row)
        return row.epoch != self.stop_after

    def commit(self, rows: Sequence[Epoch]) -> None:
        self.committed.extend(rows)

    def without_graphs(self, why: str) -> None:
        self.slow.append(why)


def small_study(**changes: object) -> Study:
    """Return a study that takes a moment on the made dataset."""
    values: dict[str, object] = {
        "name": "small",
        "datasets": ["made"],
        "networks": ["lenet300"],
        "learning_rates": [0.05],
        "sparsities": [0.5, 0.8],
        "starts": BUILT_IN_STARTS,
        "seeds": [0],
        "recipe": {"epochs": 3, "batch_size": 32, "augmentation": "none"},
        "admm": {"rounds": 3, "period": 1},
    }
    return parse_study({**values, **changes})


def plan_of(study: Study) -> Plan:
    return plan(study, {dataset: f"content of {dataset}" for dataset in study.datasets})


def stage_of(**changes: object) -> Stage:
    """Return a pretraining stage with some settings changed."""
    return next(iter(plan_of(small_study()).stages.values())).model_copy(update=changes)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return made_dataset()


@pytest.fixture
def weights() -> MemoryWeights:
    return MemoryWeights()


__all__ = [
    "BUILT_IN_NETWORKS",
    "BUILT_IN_STARTS",
    "Images",
    "Listener",
    "MemoryWeights",
    "made_dataset",
    "plan_of",
    "small_study",
    "stage_of",
]
