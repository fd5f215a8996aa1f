"""How fast the engine trains, against the loop that researchers' repositories use: python -m benchmarks.training."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import options
from benchmarks.apart import Apart
from benchmarks.options import ENLARGED
from benchmarks.plain import PlainLoop
from benchmarks.written import spread, write
from data.datasets.loading import load_images
from data.datasets.registry import identity
from data.settings import settings
from engine.dataset import Dataset
from engine.masks import magnitude_mask
from engine.models.networks import build, prunable
from engine.seeds import global_seed
from engine.study.plan import Images
from engine.study.recipe import Recipe
from engine.training.augment import DeviceData, to_device
from engine.training.concurrent import run_epochs
from engine.training.device import get_ready
from engine.training.sgd import Diverged, Schedule, Training

PACKAGES = ("torch", "torchvision", "pillow")
SPARSITY = 0.8
LEARNING_RATE = 0.05


def images(name: str, home: Path, train: int | None, test: int | None) -> Dataset:
    """Return a dataset by its name in a study, or digits enlarged; train, test: how many, of all classes alike."""
    source = "digits" if name == ENLARGED else name
    found = load_images(Images(name=source, identity=identity(source, home), train=train, test=test), home)
    if name == ENLARGED:
        return replace(found, train_images=_enlarged(found.train_images), test_images=_enlarged(found.test_images))
    return found


def _enlarged(digits: torch.Tensor) -> torch.Tensor:
    return digits.repeat_interleave(4, 1).repeat_interleave(4, 2).repeat(1, 1, 1, 3).contiguous()


class OurLoop:
    """Networks that the engine trains side by side in one process, as a worker does."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings = trainings

    def run_epoch(self) -> float:
        """Train an epoch of each, evaluate, and return their mean test accuracy in percent; Diverged where one does."""
        accuracies = []
        for outcome in run_epochs(self._trainings):
            if isinstance(outcome, Diverged):
                raise outcome
            accuracies.append(outcome.test_accuracy)
        return statistics.fmean(accuracies)


def measure(
    network: str,
    precision: str,
    dataset: Dataset,
    device: torch.device,
    *,
    processes: int,
    together: int,
    repetitions: int,
    batch_size: int,
    loaders: int,
    threads: int,
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train by both loops in turns, an epoch each, and return what was measured.

    processes: in which the engine trains, as workers do, each with its share of the threads. together: networks in each
    of them, each of a seed of its own; the first has the weights and the mask of the plain loop's, and all keep the
    recipe's schedule. An epoch's seconds are divided by their number. One epoch of each goes before the clock starts.
    """
    recipe = Recipe(epochs=repetitions + 1, batch_size=batch_size, precision=precision)
    each = max(1, threads // processes)
    makers = [
        partial(our_loop, network, dataset, recipe, device, each, range(first, first + together))
        for first in range(0, processes * together, together)
    ]
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    with ExitStack() as stack:
        plain = stack.enter_context(Apart(partial(plain_loop, network, dataset, recipe, device, loaders, threads)))
        ours = [stack.enter_context(Apart(make)) for make in makers]
        for repetition in range(repetitions + 1):
            begin = time.perf_counter()
            plain_accuracy = plain.run_epoch()
            middle = time.perf_counter()
            for loop in ours:
                loop.begin_epoch()
            accuracy = statistics.fmean([loop.end_epoch() for loop in ours])
            end = time.perf_counter()
            tell()
            if repetition:
                seconds["plain"].append(middle - begin)
                seconds["ours"].append((end - middle) / (processes * together))
    ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["ours"], strict=True)]
    count = len(dataset.train_labels)
    return {
        "network": network,
        "precision": precision,
        "processes": processes,
        "together": together,
        "batch_size": batch_size,
        "train_images": count,
        "test_images": len(dataset.test_labels),
        "epochs": recipe.epochs,
        "loaders": loaders,
        "plain": {**_figures(seconds["plain"], count), "test_accuracy": plain_accuracy},
        "ours": {**_figures(seconds["ours"], count), "test_accuracy": accuracy},
        "ratio": spread(ratios),
    }


def our_loop(
    network: str, dataset: Dataset, recipe: Recipe, device: torch.device, threads: int, seeds: Sequence[int]
) -> OurLoop:
    """Return a loop of the engine over one network for each seed, for a process of its own."""
    get_ready(device, threads)
    data = to_device(dataset, recipe.augmentation, device)
    return OurLoop([pruned_training(network, dataset, data, recipe, seed) for seed in seeds])


def pruned_training(
    network: str,
    dataset: Dataset,
    data: DeviceData,
    recipe: Recipe,
    seed: int,
    graphs: bool = True,
    rate: float = LEARNING_RATE,
) -> Training:
    """Return a training of a freshly drawn network under the mask of its largest weights."""
    made, mask = _pruned(network, dataset, seed)
    schedule = Schedule(recipe, rate, recipe.epochs, seed, "benchmark")
    on_device = {layer: kept.to(data.device) for layer, kept in mask.items()}
    return Training(made.to(data.device), data, schedule, on_device, graphs)


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
    # Its order and augmentation.
    torch.manual_seed(seed)
    return PlainLoop(*_pruned(network, dataset, seed), dataset, recipe, rate, device, loaders)


def _pruned(name: str, dataset: Dataset, seed: int) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """Return a network as it is drawn, and the mask of its largest weights."""
    with global_seed(seed, "benchmark"):
        network = build(name, dataset.channels, dataset.image_size, len(dataset.classes))
    weights = network.state_dict()
    return network, magnitude_mask({layer: weights[layer] for layer in prunable(network)}, SPARSITY)


def _figures(seconds: Sequence[float], images: int) -> dict[str, float]:
    found = spread(seconds)
    median = found.pop("median")
    return {"seconds_per_epoch": median, **found, "images_per_second": images / median}


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return what was measured as a table: medians, and their spread in brackets."""
    shown = Table(title=f"seconds per network and epoch, {found[0]['train_images']:,} training images")
    for column in (
        "network",
        "ours in",
        "processes",
        "side by side",
        "plain loop",
        "ours",
        "ratio",
        "images/s",
        "accuracy %, plain",
        "ours",
    ):
        shown.add_column(column, justify="left" if column in ("network", "ours in") else "right")
    for row in found:
        plain, ours, ratio = row["plain"], row["ours"], row["ratio"]
        shown.add_row(
            row["network"],
            row["precision"],
            str(row["processes"]),
            str(row["together"]),
            f"{plain['seconds_per_epoch']:.2f} ({plain['least']:.2f}-{plain['most']:.2f})",
            f"{ours['seconds_per_epoch']:.2f} ({ours['least']:.2f}-{ours['most']:.2f})",
            f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})",
            f"{ours['images_per_second']:,.0f}",
            f"{plain['test_accuracy']:.1f}",
            f"{ours['test_accuracy']:.1f}",
        )
    return shown


def main() -> None:
    """Measure as the command line says, show it, and write it down where told to."""
    given = _arguments()
    config = settings()
    device = options.device(given)
    threads = given.threads or torch.get_num_threads()
    processes = given.processes or (threads if device.type == "cpu" else 1)
    dataset = images(given.data, config.home, given.train_images, given.test_images)
    begin, found = time.perf_counter(), []
    console = Console(width=150)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        pairs = [(network, precision) for network in given.network for precision in given.precision]
        bar = bars.add_task("training", total=len(pairs) * (given.repetitions + 1))
        for network, precision in pairs:
            bars.update(bar, description=f"{network} {precision}")
            row = measure(
                network,
                precision,
                dataset,
                device,
                processes=processes,
                together=given.together,
                repetitions=given.repetitions,
                batch_size=given.batch_size,
                loaders=given.loaders,
                threads=threads,
                tell=lambda: bars.advance(bar),
            )
            found.append(row)
    console.print(table(found))
    figures = {
        "threads": threads,
        "seconds": round(time.perf_counter() - begin),
        "data": given.data.partition(":")[0],
        "measured": found,
    }
    write("training", given.json, device, PACKAGES, figures, console)


def _arguments() -> argparse.Namespace:
    parser = options.parser("training", __doc__)
    options.add_networks(parser)
    options.add_precisions(parser)
    parser.add_argument("--processes", type=int, metavar="P", help="of ours; one per thread on a CPU, else one")
    parser.add_argument("--together", type=int, default=1, metavar="K", help="networks side by side in each of ours")
    parser.add_argument("--repetitions", type=int, default=5, help="epochs of each that are timed")
    parser.add_argument("--batch-size", type=int, default=128)
    options.add_images(parser)
    parser.add_argument("--loaders", type=int, default=2, help="processes in which the plain loop loads images")
    parser.add_argument("--threads", type=int, help="of PyTorch's, for the plain loop, and for all processes of ours")
    return parser.parse_args()


if __name__ == "__main__":
    main()
