"""What evaluation, checkpoints and telemetry cost beside training: python -m benchmarks.overhead."""

import argparse
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from redis import Redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import options, surroundings
from benchmarks.training import images, pruned_training
from benchmarks.written import write
from data.artifacts.store import Artifacts
from data.settings import settings
from engine.dataset import Dataset
from engine.stages.runner import pause
from engine.study.plan import plan
from engine.study.recipe import Recipe
from engine.study.spec import parse_study
from engine.training.augment import to_device
from engine.training.device import get_ready
from engine.training.sgd import Training
from tasks.broker import connection
from tasks.queue import leases
from tasks.queue.leases import Message, Timing
from tasks.worker.observer import LeasedObserver

PACKAGES = ("torch", "redis", "safetensors")
# An epoch of CIFAR, to which what is measured on fewer images is carried over.
TRAIN, TEST = 50_000, 10_000
# How often a stage keeps a checkpoint, as `engine.stages.runner.run_stage` does.
CHECKPOINT_SECONDS = 5.0
GOAL = 0.05


def measure(
    network: str,
    precision: str,
    dataset: Dataset,
    device: torch.device,
    redis: Redis,
    folder: Path,
    repetitions: int,
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the seconds of each part for an epoch of CIFAR, and what share of the training they are.

    A checkpoint is written through the real store to folder, and an epoch told through a real Redis.
    """
    recipe = Recipe(epochs=repetitions + 1, precision=precision)
    training = pruned_training(network, dataset, to_device(dataset, recipe.augmentation, device), recipe, seed=0)
    store, (message, observer) = Artifacts(str(folder)), _claimed(redis, network)
    seconds: dict[str, list[float]] = {"training": [], "evaluation": [], "telemetry": [], "checkpoint": []}
    for repetition in range(repetitions + 1):
        begin = time.perf_counter()
        _train(training)
        trained = time.perf_counter()
        training.queue_evaluation()
        training.wait()
        row = training.end_epoch(time.perf_counter() - begin)
        evaluated = time.perf_counter()
        observer.epoch(row, recipe.epochs)
        told = time.perf_counter()
        observer.commit([row])
        store.save(message.fingerprint, "checkpoint", training.state())
        kept = time.perf_counter()
        tell()
        if repetition:
            seconds["training"].append((trained - begin) / len(dataset.train_labels) * TRAIN)
            seconds["evaluation"].append((evaluated - trained) / len(dataset.test_labels) * TEST)
            seconds["telemetry"].append(told - evaluated)
            seconds["checkpoint"].append(kept - told)
    median = {part: statistics.median(found) for part, found in seconds.items()}
    shares = {
        "evaluation": median["evaluation"] / median["training"],
        "checkpoints": median["checkpoint"] / epochs_between(**median) / median["training"],
        "telemetry": median["telemetry"] / median["training"],
    }
    return {
        "network": network,
        "precision": precision,
        "seconds": median,
        "spread": {part: [min(found), max(found)] for part, found in seconds.items()},
        "shares": {**shares, "together": sum(shares.values())},
    }


def epochs_between(training: float, evaluation: float, telemetry: float, checkpoint: float) -> int:
    """Return how many epochs apart checkpoints are, from the seconds of each part.

    One is written after the first epoch that ends when it is time, as `engine.stages.runner` does.
    """
    return math.ceil(pause(CHECKPOINT_SECONDS, checkpoint) / (training + evaluation + telemetry))


def _train(training: Training) -> None:
    training.begin_epoch()
    for size in training.sizes:
        training.step(size)
    training.wait()


def _claimed(redis: Redis, network: str) -> tuple[Message, LeasedObserver]:
    """Return a stage that is held here, and its observer."""
    study = parse_study(
        {"name": "o", "datasets": ["cifar10"], "networks": [network], "pruners": [], "sparsities": [], "starts": []}
        | {"learning_rates": [0.1], "seeds": [0]}
    )
    [stage] = plan(study, {"cifar10": network}).stages.values()
    [message] = leases.register(redis, network, {"study_id": network}, [stage], ())
    leases.claim(redis, message, "benchmark", "benchmark", "none", 3600.0)
    return message, LeasedObserver(redis, message, "benchmark", Timing(lease=3600.0), threading.Event())


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return the shares as a table, in percent of the training."""
    shown = Table(title="beside an epoch of CIFAR, with checkpoints as often as a stage keeps them: % of the training")
    for column in ("network", "in", "training s", "evaluation %", "checkpoints %", "telemetry %", "together %"):
        shown.add_column(column, justify="left" if column in ("network", "in") else "right")
    for row in found:
        shares = row["shares"]
        shown.add_row(
            row["network"],
            row["precision"],
            f"{row['seconds']['training']:.1f}",
            *(f"{100 * shares[part]:.2f}" for part in ("evaluation", "checkpoints", "telemetry", "together")),
        )
    return shown


def main() -> None:
    """Measure as the command line says, show it, and write it down where told to."""
    given = _arguments()
    device = options.device(given)
    get_ready(device, given.threads or torch.get_num_threads())
    dataset = images(given.data, settings().home, given.train_images, given.test_images)
    console, found = Console(width=120), []
    pairs = [(network, precision) for network in given.network for precision in given.precision]
    with (
        tempfile.TemporaryDirectory() as folder,
        surroundings.around(Path(folder) / "home") as config,
        Progress(console=Console(stderr=True), transient=True) as bars,
    ):
        bar = bars.add_task("training", total=len(pairs) * (given.repetitions + 1))
        for network, precision in pairs:
            redis = connection.client(config)
            redis.flushall()
            kept = Path(folder) / "artifacts"
            row = measure(
                *(network, precision, dataset, device, redis, kept, given.repetitions), lambda: bars.advance(bar)
            )
            found.append(row)
    console.print(table(found))
    write("overhead", given.json, device, PACKAGES, {"goal": GOAL, "measured": found}, console)


def _arguments() -> argparse.Namespace:
    parser = options.parser("overhead", __doc__)
    options.add_networks(parser)
    options.add_precisions(parser, ["fp32"])
    parser.add_argument("--repetitions", type=int, default=5, help="epochs that are timed")
    options.add_images(parser, 512, 360)
    parser.add_argument("--threads", type=int, help="of PyTorch's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
