"""Does the engine learn as well as the plain loop, in either precision? python -m benchmarks.parity."""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.baseline import plain_loop
from benchmarks.fixtures import images, pruned_training
from benchmarks.options import PRECISIONS
from benchmarks.subprocess_loop import SubprocessLoop
from data.settings import settings
from engine.claims.intervals import Interval, interval
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import to_device
from engine.training.device import get_ready

PLAIN = "plain loop"
CONFIDENCE = 0.95


def measure(
    network: str,
    dataset: Dataset,
    device: torch.device,
    *,
    rate: float,
    epochs: int,
    batch_size: int,
    seeds: Sequence[int],
    loaders: int,
    threads: int,
) -> dict[str, Any]:
    """Train a network by each loop from the same weights under the same mask, and return the final test accuracies.

    rate: the learning rate of the first epoch. seeds: each decides weights, order and augmentation; the generators of
    order and augmentation differ between the loops, so their accuracies differ as those of two seeds do.
    """
    accuracies: dict[str, list[float]] = {loop: [] for loop in (PLAIN, *PRECISIONS)}
    recipe = Recipe(epochs=epochs, batch_size=batch_size)
    data = to_device(dataset, recipe.augmentation, device)
    for seed in seeds:
        make = partial(plain_loop, network, dataset, recipe, device, loaders, threads, seed, rate)
        with SubprocessLoop(make) as plain:
            accuracies[PLAIN].append([plain.run_epoch() for _ in range(epochs)][-1])
        for precision in PRECISIONS:
            in_precision = recipe.model_copy(update={"precision": precision})
            training = pruned_training(network, dataset, data, in_precision, seed, rate=rate)
            while not training.done:
                training.run_epoch()
            training.close()
            accuracies[precision].append(training.history[-1].test_accuracy)
    return {
        "network": network,
        "learning_rate": rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "train_images": len(dataset.train_labels),
        "test_images": len(dataset.test_labels),
        "test_accuracy": accuracies,
        "less_plain": {
            precision: asdict(difference(accuracies[precision], accuracies[PLAIN])) for precision in PRECISIONS
        },
    }


def difference(ours: Sequence[float], plain: Sequence[float]) -> Interval:
    """Return the mean of ours minus plain over seeds, in points, with its 95 % interval."""
    return interval([engine - loop for engine, loop in zip(ours, plain, strict=True)], CONFIDENCE, standard_errors=0)


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the final accuracies, mean (least-most), and the engine's minus the plain loop's."""
    first = measured[0]
    n = len(first["test_accuracy"][PLAIN])
    title = f"test accuracy in % after {first['epochs']} epochs of {first['train_images']:,} images, n = {n}"
    return results_io.table(title, map(dict, map(_cells, measured)), left=("network",))


def _cells(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "network", row["network"]
    yield "rate", f"{row['learning_rate']:g}"
    for loop, values in row["test_accuracy"].items():
        yield loop, f"{statistics.fmean(values):.1f} ({min(values):.1f}-{max(values):.1f})"
    for precision in PRECISIONS:
        gap = Interval(**row["less_plain"][precision])
        bounds = "" if gap.low is None else f" ({gap.low:+.1f} to {gap.high:+.1f})"
        yield f"{precision} minus plain (95 %)", f"{gap.mean:+.1f}{bounds}"


def main() -> None:
    """Measure what the command line names, show it, and write it to the file of --json."""
    arguments = _arguments()
    device = options.device(arguments)
    threads = arguments.threads or torch.get_num_threads()
    # The engine trains with the threads of a worker.
    get_ready(device, 1 if device.type == "cpu" else threads)
    dataset = images(arguments.data, settings().home, arguments.train_images, arguments.test_images)
    begin = time.perf_counter()
    measured = [
        measure(
            network,
            dataset,
            device,
            rate=arguments.learning_rate,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            seeds=range(arguments.first_seed, arguments.first_seed + arguments.seeds),
            loaders=arguments.loaders,
            threads=threads,
        )
        for network in results_io.progress(arguments.network)
    ]
    results_io.show(table(measured))
    seconds = round(time.perf_counter() - begin)
    figures = {"seconds": seconds, "data": arguments.data.partition(":")[0], "measured": measured}
    results_io.write("parity", arguments, figures, device)


def _arguments() -> argparse.Namespace:
    parser = options.parser("parity", __doc__)
    options.add_device(parser, threads=None)
    options.add_networks(parser)
    options.add_images(parser)
    options.add_loaders(parser)
    parser.add_argument("--learning-rate", type=float, default=0.05, help="at the first epoch")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each kind")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="the first of them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
