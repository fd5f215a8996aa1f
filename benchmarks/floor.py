"""The least that an epoch can take on a device, by arithmetic and by memory: python -m benchmarks.floor."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks import options
from benchmarks.written import write
from engine.models.flops import flops_per_image
from engine.models.networks import build
from engine.registry import NETWORKS
from engine.study.cost import TRAINING_FACTOR

PACKAGES = ("torch",)
# CIFAR's shape, and one epoch of it.
CHANNELS, SIZE, CLASSES, TRAIN, TEST = 3, 32, 10, 50_000, 10_000
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Of a layer's output: written once, read by the layer after it and once more for that layer's weights; its gradient
# written once, and read for the weights and the inputs of the layer before.
TOUCHED_TRAINING, TOUCHED_EVALUATION = 6, 2
MATRICES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}


def outputs_per_image(network: str) -> int:
    """Return how many numbers the convolutions and linear layers of a network put out for one image.

    What else stands between two of them (batch norm, ReLU, sums) could be done on the way, so it is not counted.
    """
    counted: list[int] = []
    with torch.device("meta"):
        module = build(network, CHANNELS, SIZE, CLASSES).eval()
        images = torch.zeros(1, CHANNELS, SIZE, SIZE)

    def count(layer: nn.Module, given: Any, output: Tensor) -> None:
        del layer, given
        counted.append(output.numel())

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module(images)
    return sum(counted)


def matrix_rate(device: torch.device, kind: torch.dtype) -> float:
    """Return the floating-point operations per second of the fastest of some square matrix products."""
    rates = []
    if device.type == "cuda":
        # As convolutions in fp32 are computed there: in TF32.
        torch.set_float32_matmul_precision("high")
    for size in MATRICES[device.type]:
        left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        rates.append(2 * size**3 / _fastest(lambda a=left, b=right: a @ b, device))  # type: ignore[misc]
    return max(rates)


def copy_bandwidth(device: torch.device) -> float:
    """Return the bytes per second that a copy within the device's memory reads and writes, together."""
    source = torch.zeros(COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _fastest(lambda: target.copy_(source), device)


def _fastest(work: Callable[[], object], device: torch.device, seconds: float = 1.0) -> float:
    """Return the shortest time of some work, done again and again for so long."""
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < 4 or time.perf_counter() < until:
        begin = _now(device)
        work()
        found.append(_now(device) - begin)
    # The first brings memory and kernels about.
    return min(found[1:])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def floors(device: torch.device) -> dict[str, Any]:
    """Measure a device, and return the least seconds of an epoch, evaluation included, by network and precision."""
    bandwidth, found = copy_bandwidth(device), []
    rates = {name: matrix_rate(device, kind) for name, kind in TYPES.items()}
    for network in NETWORKS:
        flops, outputs = flops_per_image(network, CHANNELS, SIZE, CLASSES), outputs_per_image(network)
        for precision, kind in TYPES.items():
            arithmetic = flops * (TRAINING_FACTOR * TRAIN + TEST) / rates[precision]
            touched = outputs * kind.itemsize * (TOUCHED_TRAINING * TRAIN + TOUCHED_EVALUATION * TEST)
            found.append(
                {
                    "network": network,
                    "precision": precision,
                    "training_flops_per_image": TRAINING_FACTOR * flops,
                    "training_bytes_per_image": TOUCHED_TRAINING * outputs * kind.itemsize,
                    "arithmetic_seconds": arithmetic,
                    "memory_seconds": touched / bandwidth,
                    "seconds": max(arithmetic, touched / bandwidth),
                }
            )
    return {"flops_per_second": rates, "bytes_per_second": bandwidth, "floors": found}


def distances(found: dict[str, Any], measured: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return how many times the floor an epoch took, by network and precision; measured: of `benchmarks.training`.

    Seconds are taken to grow with the images.
    """
    least = {(row["network"], row["precision"]): row["seconds"] for row in found["floors"]}
    return {
        key: row["ours"]["seconds_per_epoch"] * TRAIN / row["train_images"] / least[key]
        for row in measured
        if (key := (row["network"], row["precision"])) in least
    }


def table(found: dict[str, Any], far: dict[tuple[str, str], float]) -> Table:
    """Return the floors as a table."""
    shown = Table(title=f"the least seconds of an epoch of {TRAIN:,} + {TEST:,} images of {SIZE} x {SIZE}")
    columns = (
        "network",
        "precision",
        "MFLOP/image",
        "kB/image",
        "by arithmetic",
        "by memory",
        "floor",
        "ours is times",
    )
    for column in columns:
        shown.add_column(column, justify="left" if column in columns[:2] else "right")
    for row in found["floors"]:
        times = far.get((row["network"], row["precision"]))
        shown.add_row(
            row["network"],
            row["precision"],
            f"{row['training_flops_per_image'] / 1e6:,.1f}",
            f"{row['training_bytes_per_image'] / 1e3:,.0f}",
            f"{row['arithmetic_seconds']:.3f}",
            f"{row['memory_seconds']:.3f}",
            f"{row['seconds']:.3f}",
            "" if times is None else f"{times:.1f}",
        )
    return shown


def main() -> None:
    """Measure the device, show the floors, and write them down where told to."""
    parser = options.parser("floor", __doc__)
    parser.add_argument("--against", type=Path, metavar="FILE", help="what benchmarks.training wrote: how far is it?")
    given = parser.parse_args()
    device = options.device(given)
    found = floors(device)
    far = distances(found, json.loads(given.against.read_text())["measured"]) if given.against else {}
    console = Console(width=130)
    rates = ", ".join(f"{rate / 1e12:.2f} TFLOP/s {name}" for name, rate in found["flops_per_second"].items())
    console.print(f"{rates}; copying moves {found['bytes_per_second'] / 1e9:,.0f} GB/s")
    console.print(table(found, far))
    write("floor", given.json, device, PACKAGES, found, console)


if __name__ == "__main__":
    main()
