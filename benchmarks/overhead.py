"""Which share of the training do evaluation, checkpoints and telemetry take? python -m benchmarks.overhead."""

import argparse
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from redis import Redis
from rich.table import Table

from benchmarks import options, results_io
from benchmarks.fixtures import TEST, TRAIN, images, planned, pruned_training
from benchmarks.own_redis import own_redis
from data.artifacts.store import Artifacts
from data.settings import settings
from engine.dataset import Dataset
from engine.stages.run import pause
from engine.study.recipe import Recipe
from engine.study.spec import parse_study
from engine.training.augment import to_device
from engine.training.device import get_ready
from engine.training.sgd import Training
from tasks.broker import connection
from tasks.queue import leases
from tasks.queue.leases import Message
from tasks.queue.timing import Timing
from tasks.worker.observer import LeasedObserver

# The pause between checkpoints of `engine.stages.runner.run_stage`.
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
    batch_size: int,
) -> dict[str, Any]:
    """Return the seconds of each part for an epoch of CIFAR, and its share of the training.

    A checkpoint is written through the real artifact store to folder, and an epoch reported through a real Redis.
    """
    recipe = Recipe(epochs=repetitions + 1, batch_size=batch_size, precision=precision)
    training = pruned_training(network, dataset, to_device(dataset, recipe.augmentation, device), recipe, seed=0)
    artifacts, (message, observer) = Artifacts(str(folder)), _claimed(redis, network)
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
        reported = time.perf_counter()
        observer.commit([row])
        artifacts.save(message.fingerprint, "checkpoint", training.state())
        saved = time.perf_counter()
        if repetition:
            seconds["training"].append((trained - begin) / len(dataset.train_labels) * TRAIN)
            seconds["evaluation"].append((evaluated - trained) / len(dataset.test_labels) * TEST)
            seconds["telemetry"].append(reported - evaluated)
            seconds["checkpoint"].append(saved - reported)
    median = {part: statistics.median(values) for part, values in seconds.items()}
    shares = {
        "evaluation": median["evaluation"] / median["training"],
        "checkpoints": median["checkpoint"] / epochs_between(**median) / median["training"],
        "telemetry": median["telemetry"] / median["training"],
    }
    return {
        "network": network,
        "precision": precision,
        "seconds": median,
        "spread": {part: [min(values), max(values)] for part, values in seconds.items()},
        "shares": {**shares, "together": sum(shares.values())},
    }


def epochs_between(training: float, evaluation: float, telemetry: float, checkpoint: float) -> int:
    """Return how many epochs apart checkpoints are, from the seconds of each part.

    One is written after the first epoch that ends when the pause is over, as in `engine.stages.runner`.
    """
    return math.ceil(pause(CHECKPOINT_SECONDS, checkpoint) / (training + evaluation + telemetry))


def _train(training: Training) -> None:
    training.begin_epoch()
    for size in training.sizes:
        training.step(size)
    training.wait()


def _claimed(redis: Redis, network: str) -> tuple[Message, LeasedObserver]:
    """Return a stage that this process has claimed, and its observer."""
    study = parse_study(
        {"name": "o", "datasets": ["cifar10"], "networks": [network], "pruners": [], "sparsities": [], "starts": []}
        | {"learning_rates": [0.1], "seeds": [0]}
    )
    [stage] = planned(study).stages.values()
    [message] = leases.register(redis, network, {"study_id": network}, [stage], ())
    leases.claim(redis, message, "benchmark", "benchmark", "none", 3600.0)
    return message, LeasedObserver(redis, message, "benchmark", Timing(lease=3600.0), threading.Event())


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the shares as a table, in percent of the training."""
    return results_io.table(
        "beside an epoch of CIFAR, with checkpoints as often as a stage saves them: % of the training",
        (
            {"network": row["network"], "in": row["precision"], "training s": f"{row['seconds']['training']:.1f}"}
            | {f"{part} %": f"{100 * share:.2f}" for part, share in row["shares"].items()}
            for row in measured
        ),
        left=("network", "in"),
    )


def main() -> None:
    """Measure what the command line names, show it, and write it to the file of --json."""
    arguments = _arguments()
    device = options.device(arguments)
    get_ready(device, arguments.threads or torch.get_num_threads())
    dataset = images(arguments.data, settings().home, arguments.train_images, arguments.test_images)
    pairs = [(network, precision) for network in arguments.network for precision in arguments.precision]
    measured = []
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder) / "home") as config:
        redis, artifacts = connection.client(config), Path(folder) / "artifacts"
        for network, precision in results_io.progress(pairs):
            redis.flushall()
            case = (network, precision, dataset, device, redis, artifacts)
            measured.append(measure(*case, arguments.repetitions, arguments.batch_size))
    results_io.show(table(measured))
    results_io.write("overhead", arguments, {"goal": GOAL, "measured": measured}, device)


def _arguments() -> argparse.Namespace:
    parser = options.parser("overhead", __doc__)
    options.add_device(parser, threads=None)
    options.add_networks(parser)
    options.add_precisions(parser, ["fp32"])
    options.add_images(parser, 512, 360)
    parser.add_argument("--repetitions", type=int, default=5, help="epochs that are timed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
