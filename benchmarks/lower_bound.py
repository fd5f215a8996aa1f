"""How many times the least possible time does an epoch take on a device? python -m benchmarks.lower_bound."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks import options, results_io
from benchmarks.fixtures import TEST, TRAIN, now
from engine.models.inspection import inspect
from engine.models.networks import build
from engine.registry import NETWORKS
from engine.study.cost import TRAINING_FACTOR

# CIFAR's shape.
CHANNELS, SIZE, CLASSES = 3, 32, 10
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# A layer's output is written once, read by the next layer and once more for that layer's weights; its gradient is
# written once, and read for the weights and the inputs of the layer before.
TOUCHED_TRAINING, TOUCHED_EVALUATION = 6, 2
MATRICES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}


def outputs_per_image(network: str) -> int:
    """Return how many numbers the convolutions and linear layers of a network output for one image.

    Operations between two of them (batch norm, ReLU, sums) could be fused into them, so they are not counted.
    """
    sizes: list[int] = []
    with torch.device("meta"):
        module = build(network, CHANNELS, SIZE, CLASSES).eval()
        images = torch.zeros(1, CHANNELS, SIZE, SIZE)

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        del layer, inputs
        sizes.append(output.numel())

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module(images)
    return sum(sizes)


def matrix_rate(device: torch.device, kind: torch.dtype) -> float:
    """Return the floating-point operations per second of the fastest square matrix product."""
    rates = []
    if device.type == "cuda":
        # On a GPU, convolutions in fp32 are computed in TF32.
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
    """Return the shortest time of some work, which is repeated for some seconds."""
    taken: list[float] = []
    deadline = now(device) + seconds
    while len(taken) < 4 or now(device) < deadline:
        begin = now(device)
        work()
        taken.append(now(device) - begin)
    # The first run allocates memory and loads kernels.
    return min(taken[1:])


def lower_bounds(device: torch.device) -> dict[str, Any]:
    """Measure a device, and return the least seconds of an epoch, evaluation included, by network and precision."""
    bandwidth, bounds = copy_bandwidth(device), []
    rates = {name: matrix_rate(device, kind) for name, kind in TYPES.items()}
    for network in options.MEASURED:
        flops, outputs = inspect(NETWORKS[network].builder, CHANNELS, SIZE, CLASSES).flops, outputs_per_image(network)
        for precision, kind in TYPES.items():
            arithmetic = flops * (TRAINING_FACTOR * TRAIN + TEST) / rates[precision]
            touched = outputs * kind.itemsize * (TOUCHED_TRAINING * TRAIN + TOUCHED_EVALUATION * TEST)
            bounds.append(
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
    return {"flops_per_second": rates, "bytes_per_second": bandwidth, "floors": bounds}


def ratios(bounds: dict[str, Any], measured: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return how many times the lower bound an epoch took, by network and precision.

    measured: rows of `benchmarks.training`, whose seconds are scaled to an epoch of CIFAR by the number of images.
    """
    least = {(row["network"], row["precision"]): row["seconds"] for row in bounds["floors"]}
    return {
        key: row["ours"]["seconds_per_epoch"] * TRAIN / row["train_images"] / least[key]
        for row in measured
        if (key := (row["network"], row["precision"])) in least
    }


def table(bounds: dict[str, Any], times: dict[tuple[str, str], float]) -> Table:
    """Return the lower bounds as a table."""
    return results_io.table(
        f"the least seconds of an epoch of {TRAIN:,} + {TEST:,} images of {SIZE} x {SIZE}",
        (
            {
                "network": row["network"],
                "precision": row["precision"],
                "MFLOP/image": f"{row['training_flops_per_image'] / 1e6:,.1f}",
                "kB/image": f"{row['training_bytes_per_image'] / 1e3:,.0f}",
                "by arithmetic": f"{row['arithmetic_seconds']:.3f}",
                "by memory": f"{row['memory_seconds']:.3f}",
                "lower bound": f"{row['seconds']:.3f}",
                "engine / bound": f"{times[key]:.1f}" if (key := (row["network"], row["precision"])) in times else "",
            }
            for row in bounds["floors"]
        ),
        left=("network", "precision"),
    )


def main() -> None:
    """Measure the device, show the lower bounds, and write them to the file of --json."""
    parser = options.parser("lower_bound", __doc__)
    options.add_device(parser, threads=None)
    parser.add_argument("--against", type=Path, metavar="FILE", help="speeds that benchmarks.training wrote")
    arguments = parser.parse_args()
    device = options.device(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bounds = lower_bounds(device)
    times = ratios(bounds, results_io.read(arguments.against)["measured"]) if arguments.against else {}
    rates = ", ".join(f"{rate / 1e12:.2f} TFLOP/s {name}" for name, rate in bounds["flops_per_second"].items())
    results_io.show(f"{rates}; copying moves {bounds['bytes_per_second'] / 1e9:,.0f} GB/s", table(bounds, times))
    results_io.write("lower_bound", arguments, bounds, device)


if __name__ == "__main__":
    main()
