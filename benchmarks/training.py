"""How many times as fast as the plain loop does the engine train? python -m benchmarks.training."""

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.baseline import plain_loop
from benchmarks.fixtures import images, pruned_training
from benchmarks.results_io import spread, spread_text
from benchmarks.subprocess_loop import SubprocessLoop
from data.settings import settings
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import to_device
from engine.training.concurrent import run_epochs
from engine.training.device import get_ready
from engine.training.sgd import Diverged, Training


class EngineLoop:
    """Networks that the engine trains concurrently in one process, as a worker does."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings = trainings

    def run_epoch(self) -> float:
        """Train an epoch of each, evaluate, and return the mean test accuracy in percent; Diverged if one diverges."""
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
) -> dict[str, Any]:
    """Train by both loops in turns, an epoch each, and return seconds, accuracies and the ratio.

    processes: the number in which the engine trains, as workers do, each with its share of the threads. together: the
    number of concurrent networks in each; every network has its own seed, and the first has the weights and the mask of
    the plain loop. Seconds are per network and epoch. The first epoch of each loop is not timed.
    """
    recipe = Recipe(epochs=repetitions + 1, batch_size=batch_size, precision=precision)
    each = max(1, threads // processes)
    makers = [
        partial(engine_loop, network, dataset, recipe, device, each, range(first, first + together))
        for first in range(0, processes * together, together)
    ]
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    with ExitStack() as stack:
        plain = stack.enter_context(
            SubprocessLoop(partial(plain_loop, network, dataset, recipe, device, loaders, threads))
        )
        ours = [stack.enter_context(SubprocessLoop(make)) for make in makers]
        for repetition in range(repetitions + 1):
            begin = time.perf_counter()
            plain_accuracy = plain.run_epoch()
            middle = time.perf_counter()
            for loop in ours:
                loop.begin_epoch()
            accuracy = statistics.fmean([loop.end_epoch() for loop in ours])
            end = time.perf_counter()
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


def engine_loop(
    network: str, dataset: Dataset, recipe: Recipe, device: torch.device, threads: int, seeds: Sequence[int]
) -> EngineLoop:
    """Return a loop of the engine over one network for each seed, for a process of its own."""
    get_ready(device, threads)
    data = to_device(dataset, recipe.augmentation, device)
    return EngineLoop([pruned_training(network, dataset, data, recipe, seed) for seed in seeds])


def _figures(seconds: Sequence[float], images: int) -> dict[str, float]:
    bounds = spread(seconds)
    median = bounds.pop("median")
    return {"seconds_per_epoch": median, **bounds, "images_per_second": images / median}


def _seconds(loop: dict[str, float]) -> str:
    return spread_text({**loop, "median": loop["seconds_per_epoch"]})


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return seconds, ratio and accuracies of each network and precision as a table."""
    return results_io.table(
        f"seconds per network and epoch, {measured[0]['train_images']:,} training images: median (least-most)",
        (
            {
                "network": row["network"],
                "in": row["precision"],
                "processes": row["processes"],
                "concurrent": row["together"],
                "plain loop": _seconds(row["plain"]),
                "engine": _seconds(row["ours"]),
                "ratio": spread_text(row["ratio"]),
                "engine, images/s": f"{row['ours']['images_per_second']:,.0f}",
                "accuracy %, plain": f"{row['plain']['test_accuracy']:.1f}",
                "engine's": f"{row['ours']['test_accuracy']:.1f}",
            }
            for row in measured
        ),
        left=("network", "in"),
    )


def main() -> None:
    """Measure what the command line names, show it, and write it to the file of --json."""
    arguments = _arguments()
    device = options.device(arguments)
    threads = arguments.threads or torch.get_num_threads()
    dataset = images(arguments.data, settings().home, arguments.train_images, arguments.test_images)
    begin = time.perf_counter()
    pairs = [(network, precision) for network in arguments.network for precision in arguments.precision]
    measured = [
        measure(
            network,
            precision,
            dataset,
            device,
            processes=arguments.processes or (threads if device.type == "cpu" else 1),
            together=arguments.together,
            repetitions=arguments.repetitions,
            batch_size=arguments.batch_size,
            loaders=arguments.loaders,
            threads=threads,
        )
        for network, precision in results_io.progress(pairs)
    ]
    results_io.show(table(measured))
    figures = {
        "threads": threads,
        "seconds": round(time.perf_counter() - begin),
        "data": arguments.data.partition(":")[0],
        "measured": measured,
    }
    results_io.write("training", arguments, figures, device)


def _arguments() -> argparse.Namespace:
    parser = options.parser("training", __doc__)
    options.add_device(parser, threads=None)
    options.add_networks(parser)
    options.add_precisions(parser)
    options.add_images(parser)
    options.add_loaders(parser)
    parser.add_argument("--processes", type=int, metavar="P", help="the engine's; one per thread on a CPU, else one")
    parser.add_argument("--together", type=int, default=1, metavar="K", help="concurrent networks in each of them")
    parser.add_argument("--repetitions", type=int, default=5, help="epochs of each that are timed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
