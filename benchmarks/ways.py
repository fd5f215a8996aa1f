"""Ways to train several networks of one shape on one device: python -m benchmarks.ways."""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks import options
from benchmarks.plain import as_pytorch_has_it, with_pytorchs_norms
from benchmarks.training import LEARNING_RATE, images, pruned_training
from benchmarks.written import spread, write
from data.settings import settings
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import DeviceData, Feed, to_device
from engine.training.concurrent import side_by_side
from engine.training.device import get_ready
from engine.training.sgd import Training
from engine.training.stacked import can_stack

PACKAGES = ("torch",)
EAGER = "eager, one after the other"

# Allowed of one function: each network, of each shape, in training and in evaluation.
COMPILATIONS = 1_000

# Trains one epoch of each network.
Epoch = Callable[[], None]


class Stacked:
    """Networks fused into one: weights stacked, the forward pass mapped over them (vmap), one optimiser for all.

    Convolutions become grouped convolutions, linear layers batched products. It trains without a mask and at one rate,
    which is less than the engine does, and so flatters it.
    """

    def __init__(self, networks: Sequence[nn.Module], data: DeviceData, recipe: Recipe) -> None:
        self._recipe, self._data = recipe, data
        self._feeds = [Feed(data, recipe.batch_size) for _ in networks]
        states = [(dict(network.named_parameters()), dict(network.named_buffers())) for network in networks]
        self._parameters = {name: _stack([own[name] for own, _ in states]).requires_grad_() for name in states[0][0]}
        self._buffers = {name: _stack([own[name] for _, own in states]) for name in states[0][1]}
        # vmap knows no other layers.
        self._base = as_pytorch_has_it(copy.deepcopy(networks[0])).to("meta").train()
        self._optimiser = torch.optim.SGD(
            list(self._parameters.values()),
            lr=LEARNING_RATE,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def run_epoch(self) -> None:
        """Train one epoch of all."""
        for seed, feed in enumerate(self._feeds):
            feed.draw(seed, "benchmark", 0)
        for size in self._feeds[0].sizes:
            drawn = [feed.next(size) for feed in self._feeds]
            pictures, labels = torch.stack([batch[0] for batch in drawn]), torch.stack([batch[1] for batch in drawn])
            self._optimiser.zero_grad()
            outputs = self._forward(pictures)
            # The sum over networks of the mean over each one's batch.
            (F.cross_entropy(outputs.flatten(0, 1), labels.flatten()) * len(drawn)).backward()
            self._optimiser.step()

    def _forward(self, pictures: Tensor) -> Tensor:
        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], given: Tensor) -> Tensor:
            output: Tensor = functional_call(self._base, (parameters, buffers), (given,))
            return output

        with torch.autocast(self._data.device.type, torch.bfloat16, enabled=self._recipe.precision == "bf16"):
            mapped = torch.vmap(one, randomness="different")(self._parameters, self._buffers, pictures)
        return mapped.float()


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach() for tensor in tensors])


def ways(
    network: str, dataset: Dataset, device: torch.device, recipe: Recipe, together: int, opened: ExitStack
) -> dict[str, Epoch]:
    """Return the ways that there are on a device, each with networks of its own, which end with what is opened."""
    data = to_device(dataset, recipe.augmentation, device)

    def made(graphs: bool = False, compiled: bool = False) -> list[Training]:
        trainings = [pruned_training(network, dataset, data, recipe, seed, graphs) for seed in range(together)]
        for training in trainings:
            # What one case recorded on a GPU must not lie there in the next.
            opened.callback(training.close)
            if compiled:
                compile_whole(training.network)
        return trainings

    def in_turn(trainings: list[Training]) -> Epoch:
        def epoch() -> None:
            for training in trainings:
                training.run_epoch()

        return epoch

    def at_once(trainings: list[Training]) -> Epoch:
        def epoch() -> None:
            side_by_side(trainings)

        return epoch

    found = {EAGER: in_turn(made()), "compiled, one after the other": in_turn(made(compiled=True))}
    if device.type == "cuda":
        found["CUDA graphs, each on its stream"] = at_once(made(graphs=True))
        found["compiled, CUDA graphs"] = at_once(made(graphs=True, compiled=True))
    if can_stack(stackable := made()[0]) and together > 1:
        found["stacked by the engine"] = at_once([stackable, *made()[1:]])
    found["stacked (vmap)"] = Stacked([training.network for training in made()], data, recipe).run_epoch
    return found


def compile_whole(network: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Have a network compiled as one graph for each shape of its input; backend: as `torch.compile` takes it.

    Its norms are PyTorch's operators, which a compiler takes together in its own way. `Module.compile` would leave out
    the loop of an `nn.Sequential`, and compile its parts one by one until it gives up.
    """
    with_pytorchs_norms(network)
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = COMPILATIONS
    network.forward = torch.compile(network.forward, dynamic=False, backend=backend)


def measure(
    network: str, dataset: Dataset, device: torch.device, recipe: Recipe, together: int, repetitions: int
) -> dict[str, Any]:
    """Return seconds per network and epoch of each way, in turns; of one that fails, why."""
    seconds: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    with ExitStack() as opened:
        found = ways(network, dataset, device, recipe, together, opened)
        for repetition in range(repetitions + 1):
            for way, epoch in found.items():
                if way in failed:
                    continue
                begin = time.perf_counter()
                try:
                    epoch()
                    if device.type == "cuda":
                        torch.cuda.synchronize(device)
                except Exception as error:  # A way that is not to be had here is part of the answer.
                    failed[way] = f"{type(error).__name__}: {error}"[:200]
                    continue
                if repetition:
                    seconds.setdefault(way, []).append((time.perf_counter() - begin) / together)
    return {
        "network": network,
        "precision": recipe.precision,
        "together": together,
        "seconds": {way: spread(values) for way, values in seconds.items()},
        "failed": failed,
    }


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return the ways as a table, each beside the first."""
    shown = Table(title="milliseconds per network and epoch, medians, with least and most")
    for column in ("network", "in", "side by side", "way", "ms", "times as fast as eager"):
        shown.add_column(column, justify="right" if column in ("side by side", "ms") else "left")
    for row in found:
        eager = next(iter(row["seconds"].values()))["median"]
        for way, s in row["seconds"].items():
            cell = f"{1e3 * s['median']:.1f} ({1e3 * s['least']:.1f}-{1e3 * s['most']:.1f})"
            shown.add_row(
                row["network"], row["precision"], str(row["together"]), way, cell, f"{eager / s['median']:.2f}"
            )
        for way, why in row["failed"].items():
            shown.add_row(row["network"], row["precision"], str(row["together"]), way, "fails", why[:60])
    return shown


def main() -> None:
    """Measure as the command line says, show it, and write it down where told to."""
    given = _arguments()
    device = options.device(given)
    get_ready(device, given.threads)
    dataset = images(given.data, settings().home, given.train_images, given.test_images)
    console, found = Console(width=130), []
    cases = [(n, p, k) for n in given.network for p in given.precision for k in given.together]
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("training", total=len(cases))
        for network, chosen, together in cases:
            recipe = Recipe(
                epochs=10_000, batch_size=given.batch_size, precision=chosen, augmentation=given.augmentation
            )
            found.append(measure(network, dataset, device, recipe, together, given.repetitions))
            bars.advance(bar)
    console.print(table(found))
    write("ways", given.json, device, PACKAGES, {"data": given.data.partition(":")[0], "measured": found}, console)


def _arguments() -> argparse.Namespace:
    parser = options.parser("ways", __doc__)
    options.add_networks(parser, ["resnet20"])
    options.add_precisions(parser, ["fp32"])
    parser.add_argument("--together", nargs="+", type=int, default=[1, 4], metavar="K", help="networks at once")
    parser.add_argument("--repetitions", type=int, default=3, help="epochs that are timed")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--augmentation", choices=["crop_flip", "none"], default="crop_flip")
    options.add_images(parser)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
