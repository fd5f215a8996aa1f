"""Whether the engine learns as well as the plain loop, in either precision: python -m benchmarks.parity."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import options
from benchmarks.apart import Apart
from benchmarks.options import PRECISIONS
from benchmarks.training import PACKAGES, images, plain_loop, pruned_training
from benchmarks.written import write
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
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train a network by each way from the same weights under the same mask, and return the final test accuracies.

    rate: the initial learning rate, which follows the recipe's schedule. seeds: pairs of weights, order and
    augmentation; the last two are drawn by each way's own generator, so that ways differ as two seeds would.
    """
    accuracies: dict[str, list[float]] = {way: [] for way in (PLAIN, *PRECISIONS)}
    recipe = Recipe(epochs=epochs, batch_size=batch_size)
    data = to_device(dataset, recipe.augmentation, device)
    for seed in seeds:
        with Apart(partial(plain_loop, network, dataset, recipe, device, loaders, threads, seed, rate)) as plain:
            accuracies[PLAIN].append([plain.run_epoch() for _ in range(epochs)][-1])
        tell()
        for precision in PRECISIONS:
            chosen = recipe.model_copy(update={"precision": precision})
            training = pruned_training(network, dataset, data, chosen, seed, rate=rate)
            while not training.done:
                training.run_epoch()
            training.close()
            accuracies[precision].append(training.history[-1].test_accuracy)
            tell()
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
    """Return the mean of ours less plain over seeds, in points, with its 95 % interval."""
    return interval([one - other for one, other in zip(ours, plain, strict=True)], CONFIDENCE, standard_errors=0)


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return the final accuracies: means, least and most; and how far ours are from the plain loop's."""
    first = found[0]
    n = len(first["test_accuracy"][PLAIN])
    shown = Table(
        title=f"test accuracy in % after {first['epochs']} epochs of {first['train_images']:,} images, n = {n}"
    )
    for column in ("network", "rate", PLAIN, *(f"ours, {precision}" for precision in PRECISIONS)):
        shown.add_column(column, justify="left" if column == "network" else "right")
    for column in PRECISIONS:
        shown.add_column(f"{column} less plain (95 %)", justify="right")
    for row in found:
        means = (
            f"{statistics.fmean(values):.1f} ({min(values):.1f}-{max(values):.1f})"
            for values in row["test_accuracy"].values()
        )
        gaps = (_words(Interval(**row["less_plain"][precision])) for precision in PRECISIONS)
        shown.add_row(row["network"], f"{row['learning_rate']:g}", *means, *gaps)
    return shown


def _words(gap: Interval) -> str:
    return f"{gap.mean:+.1f}" + ("" if gap.low is None else f" ({gap.low:+.1f} to {gap.high:+.1f})")


def main() -> None:
    """Measure as the command line says, show it, and write it down where told to."""
    given = _arguments()
    device = options.device(given)
    threads = given.threads or torch.get_num_threads()
    # As a worker has them.
    get_ready(device, 1 if device.type == "cpu" else threads)
    dataset = images(given.data, settings().home, given.train_images, given.test_images)
    begin, found, console = time.perf_counter(), [], Console(width=150)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("training", total=len(given.network) * given.seeds * (1 + len(PRECISIONS)))
        for network in given.network:
            bars.update(bar, description=network)
            row = measure(
                network,
                dataset,
                device,
                rate=given.learning_rate,
                epochs=given.epochs,
                batch_size=given.batch_size,
                seeds=range(given.first_seed, given.first_seed + given.seeds),
                loaders=given.loaders,
                threads=threads,
                tell=lambda: bars.advance(bar),
            )
            found.append(row)
    console.print(table(found))
    figures = {"seconds": round(time.perf_counter() - begin), "data": given.data.partition(":")[0], "measured": found}
    write("parity", given.json, device, PACKAGES, figures, console)


def _arguments() -> argparse.Namespace:
    parser = options.parser("parity", __doc__)
    options.add_networks(parser)
    parser.add_argument("--learning-rate", type=float, default=0.05, help="at the first epoch")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each kind")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="they count from here")
    options.add_images(parser)
    parser.add_argument("--loaders", type=int, default=2, help="processes in which the plain loop loads images")
    parser.add_argument("--threads", type=int, help="of PyTorch's, for the plain loop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
