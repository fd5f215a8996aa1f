"""Which share of a training step does each operator take, and how many kernels has it? python -m benchmarks.step."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import options, results_io
from benchmarks.baseline import plain_loop
from benchmarks.fixtures import images, pruned_training
from benchmarks.kernels import kernels_of_step
from data.settings import settings
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import to_device
from engine.training.device import keep_freed_memory

SHOWN = 10


def measure(
    network: str, precision: str, dataset: Dataset, device: torch.device, recipe: Recipe, steps: int
) -> dict[str, Any]:
    """Return milliseconds per step of each operator itself, the slowest first, after an untimed epoch."""
    in_precision = recipe.model_copy(update={"precision": precision})
    training = pruned_training(network, dataset, to_device(dataset, recipe.augmentation, device), in_precision, seed=0)
    training.run_epoch()
    training.begin_epoch()

    def take_steps() -> None:
        for _ in range(steps):
            training.step(training.sizes[0])
        training.wait()

    operators = _profiled(take_steps, device, steps)
    training.close()
    return {"network": network, "loop": "ours", "precision": precision, **operators}


def measure_plain(network: str, dataset: Dataset, device: torch.device, recipe: Recipe) -> dict[str, Any]:
    """Return the same for the plain loop, which prepares its images in this process."""
    loop = plain_loop(network, dataset, recipe, device, loaders=0, threads=torch.get_num_threads())
    loop.train_epoch()
    steps = math.ceil(len(dataset.train_labels) / recipe.batch_size)
    return {"network": network, "loop": "plain", "precision": "fp32", **_profiled(loop.train_epoch, device, steps)}


def _profiled(take_steps: Callable[[], None], device: torch.device, steps: int) -> dict[str, Any]:
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiled:
        take_steps()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = profiled.key_averages()
    if device.type == "cuda":
        # Only kernels count, since the operators that launch them include their time.
        microseconds = {
            event.key: event.self_device_time_total for event in events if event.device_type == DeviceType.CUDA
        }
    else:
        microseconds = {event.key: event.self_cpu_time_total for event in events}
    operators = {name: total / 1e3 / steps for name, total in microseconds.items()}
    ordered = sorted(operators.items(), key=lambda pair: -pair[1])
    return {"steps": steps, "milliseconds": sum(operators.values()), "operators": dict(ordered[:SHOWN])}


def count(network: str, precision: str, dataset: Dataset) -> dict[str, Any]:
    """Return how many kernels a GPU launches in a step, by operation, without and with compiled batch norm."""
    counted = {kind: kernels_of_step(network, precision, dataset, kind == "fused") for kind in ("eager", "fused")}
    return {
        "network": network,
        "precision": precision,
        **{kind: dict(by.most_common()) for kind, by in counted.items()},
    }


def kernel_table(counted: Sequence[dict[str, Any]]) -> Table:
    """Return the numbers of kernels as a table."""
    title = "kernels of a GPU per step, counted on a CPU"
    rows = (
        {
            "network": row["network"],
            "in": row["precision"],
            "PyTorch's batch norm": str(sum(row["eager"].values())),
            "compiled batch norm": str(sum(row["fused"].values())),
        }
        for row in counted
    )
    return results_io.table(title, rows, left=("network", "in"))


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the operators of each network as a table, in milliseconds per step and percent of it."""
    title = "milliseconds per step, each operator by itself"
    return results_io.table(title, _cells(measured), left=("network", "loop", "in", "operator"))


def _cells(measured: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for row in measured:
        case = {"network": row["network"], "loop": row["loop"], "in": row["precision"]}
        for operator, ms in {**row["operators"], "all": row["milliseconds"]}.items():
            share = f"{100 * ms / row['milliseconds']:.0f}"
            yield {**case, "operator": operator[:60], "ms": f"{ms:.1f}", "%": share}


def main() -> None:
    """Profile what the command line names, show it, and write it to the file of --json."""
    parser = options.parser("step", __doc__)
    options.add_device(parser)
    options.add_networks(parser)
    options.add_precisions(parser)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--data", default=options.ENLARGED, help=f"{options.ENLARGED}, or a dataset as in a study")
    parser.add_argument("--plain", action="store_true", help="the plain loop's step too, images included")
    parser.add_argument("--system-memory", action="store_true", help="return freed memory to the system, its default")
    arguments = parser.parse_args()
    device = options.device(arguments)
    torch.set_num_threads(arguments.threads)
    # Every step has a full batch.
    dataset = images(arguments.data, settings().home, arguments.steps * arguments.batch_size, 100)
    recipe = Recipe(batch_size=arguments.batch_size)
    # The plain loop comes first, because the engine's settings then stay for the whole process.
    measured = [measure_plain(network, dataset, device, recipe) for network in arguments.network if arguments.plain]
    if not arguments.system_memory:
        keep_freed_memory()
    measured += [
        measure(network, precision, dataset, device, recipe, arguments.steps)
        for network in arguments.network
        for precision in arguments.precision
    ]
    results_io.show(table(measured))
    counted = [count(name, precision, dataset) for name in arguments.network for precision in arguments.precision]
    results_io.show(kernel_table(counted))
    figures = {
        "batch_size": arguments.batch_size,
        "system_memory": arguments.system_memory,
        "measured": measured,
        "kernels": counted,
    }
    results_io.write("step", arguments, figures, device)


if __name__ == "__main__":
    main()
