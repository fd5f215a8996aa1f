"""Where the time of one training step goes, operator by operator: python -m benchmarks.step."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import options
from benchmarks.options import ENLARGED
from benchmarks.training import images, plain_loop, pruned_training
from benchmarks.written import write
from data.settings import settings
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import to_device
from engine.training.device import keep_freed_memory

PACKAGES = ("torch",)
SHOWN = 10


def measure(
    network: str, precision: str, dataset: Dataset, device: torch.device, recipe: Recipe, steps: int
) -> dict[str, Any]:
    """Return milliseconds per step of each operator itself, the slowest first, after an epoch that goes untimed."""
    training = pruned_training(network, dataset, to_device(dataset, recipe.augmentation, device), recipe, seed=0)
    training.run_epoch()
    training.begin_epoch()

    def take_steps() -> None:
        for _ in range(steps):
            training.step(training.sizes[0])
        training.wait()

    found = _profiled(take_steps, device, steps)
    training.close()
    return {"network": network, "loop": "ours", "precision": precision, **found}


def measure_plain(network: str, dataset: Dataset, device: torch.device, recipe: Recipe) -> dict[str, Any]:
    """Return the same of the plain loop, which prepares its images in the same process here."""
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
        # The kernels themselves: the operators that launch them would count them once more.
        took = {event.key: event.self_device_time_total for event in events if event.device_type == DeviceType.CUDA}
    else:
        took = {event.key: event.self_cpu_time_total for event in events}
    operators = {name: microseconds / 1e3 / steps for name, microseconds in took.items()}
    ordered = sorted(operators.items(), key=lambda pair: -pair[1])
    return {"steps": steps, "milliseconds": sum(operators.values()), "operators": dict(ordered[:SHOWN])}


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return the operators of each network as a table, in milliseconds per step."""
    shown = Table(title="milliseconds per step, each operator by itself")
    for column in ("network", "loop", "in", "operator", "ms", "%"):
        shown.add_column(column, justify="right" if column in ("ms", "%") else "left")
    for row in found:
        total, of = row["milliseconds"], (row["network"], row["loop"], row["precision"])
        for operator, ms in row["operators"].items():
            shown.add_row(*of, operator[:60], f"{ms:.1f}", f"{100 * ms / total:.0f}")
        shown.add_row(*of, "all", f"{total:.1f}", "100", end_section=True)
    return shown


def main() -> None:
    """Profile as the command line says, show it, and write it down where told to."""
    parser = options.parser("step", __doc__)
    options.add_networks(parser)
    options.add_precisions(parser)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--data", default=ENLARGED, help=f"{ENLARGED}, or a dataset as in a study")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's")
    parser.add_argument("--plain", action="store_true", help="the plain loop's step too, images included")
    parser.add_argument("--system-memory", action="store_true", help="give freed memory back, as is the default")
    given = parser.parse_args()
    device = options.device(given)
    torch.set_num_threads(given.threads)
    # Enough for the steps, in batches of one size.
    dataset = images(given.data, settings().home, given.steps * given.batch_size, 100)
    console = Console(width=120)
    recipe = Recipe(batch_size=given.batch_size)
    # First, for whatever is set for ours is in force from there on.
    found = [measure_plain(network, dataset, device, recipe) for network in given.network if given.plain]
    if not given.system_memory:
        keep_freed_memory()
    found += [
        measure(network, chosen, dataset, device, recipe.model_copy(update={"precision": chosen}), given.steps)
        for network in given.network
        for chosen in given.precision
    ]
    console.print(table(found))
    figures = {"batch_size": given.batch_size, "system_memory": given.system_memory, "measured": found}
    write("step", given.json, device, PACKAGES, figures, console)


if __name__ == "__main__":
    main()
