"""Which way trains several networks of one shape fastest on one device? python -m benchmarks.concurrency."""

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks import options, results_io
from benchmarks.baseline import with_pytorch_layers, with_pytorch_norms
from benchmarks.fixtures import LEARNING_RATE, images, now, pruned_training
from benchmarks.results_io import spread, spread_text
from data.settings import settings
from engine.dataset import Dataset
from engine.study.recipe import Recipe
from engine.training.augment import DeviceData, Feed, to_device
from engine.training.concurrent import side_by_side
from engine.training.device import get_ready
from engine.training.sgd import Training
from engine.training.stacked import can_stack

EAGER = "eager, one after the other"
# Whether cuDNN may only use algorithms that add in a fixed order; see ANY_ORDER in `engine.training.device`.
ORDERS = {"fixed": True, "any": False}

# Compilations allowed of one function, which is compiled for each network, shape and mode.
COMPILATIONS = 1_000

# Trains one epoch of each network.
Epoch = Callable[[], None]


class Stacked:
    """Networks fused into one: weights stacked, the forward pass mapped over them (vmap), one optimiser for all.

    Convolutions become grouped convolutions, linear layers batched products. It trains without a mask and at a constant
    rate, so it does less than the engine, and its times are too good.
    """

    def __init__(self, networks: Sequence[nn.Module], data: DeviceData, recipe: Recipe) -> None:
        self._recipe, self._data = recipe, data
        self._feeds = [Feed(data, recipe.batch_size) for _ in networks]
        states = [(dict(network.named_parameters()), dict(network.named_buffers())) for network in networks]
        self._parameters = {
            name: _stack([parameters[name] for parameters, _ in states]).requires_grad_() for name in states[0][0]
        }
        self._buffers = {name: _stack([buffers[name] for _, buffers in states]) for name in states[0][1]}
        # vmap supports no other layers.
        self._base = with_pytorch_layers(copy.deepcopy(networks[0])).to("meta").train()
        self._optimiser = torch.optim.SGD(
            list(self._parameters.values()),
            lr=LEARNING_RATE,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def run_epoch(self) -> None:
        """Train one epoch of each network."""
        for seed, feed in enumerate(self._feeds):
            feed.draw(seed, "benchmark", 0)
        for size in self._feeds[0].sizes:
            batches = [feed.next(size) for feed in self._feeds]
            pictures, labels = (torch.stack([batch[part] for batch in batches]) for part in (0, 1))
            self._optimiser.zero_grad()
            outputs = self._forward(pictures)
            # This is the sum of the mean losses of the networks, since cross_entropy averages over all batches.
            (F.cross_entropy(outputs.flatten(0, 1), labels.flatten()) * len(batches)).backward()
            self._optimiser.step()

    def _forward(self, pictures: Tensor) -> Tensor:
        def forward(parameters: dict[str, Tensor], buffers: dict[str, Tensor], pictures: Tensor) -> Tensor:
            output: Tensor = functional_call(self._base, (parameters, buffers), (pictures,))
            return output

        with torch.autocast(self._data.device.type, torch.bfloat16, enabled=self._recipe.precision == "bf16"):
            mapped = torch.vmap(forward, randomness="different")(self._parameters, self._buffers, pictures)
        return mapped.float()


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach() for tensor in tensors])


def ways(
    network: str, dataset: Dataset, device: torch.device, recipe: Recipe, together: int, opened: ExitStack
) -> dict[str, Epoch]:
    """Return the ways that a device supports, each with networks of its own that `opened` closes."""
    data = to_device(dataset, recipe.augmentation, device)

    def make(graphs: bool = False, compiled: bool = False) -> list[Training]:
        trainings = [pruned_training(network, dataset, data, recipe, seed, graphs) for seed in range(together)]
        for training in trainings:
            # The CUDA graphs of one case must not occupy the GPU in the next.
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

    epochs = {EAGER: in_turn(make()), "compiled, one after the other": in_turn(make(compiled=True))}
    if device.type == "cuda":
        epochs["CUDA graphs, each on its stream"] = at_once(make(graphs=True))
        epochs["compiled, CUDA graphs"] = at_once(make(graphs=True, compiled=True))
    if can_stack(stackable := make()[0]) and together > 1:
        epochs["stacked by the engine"] = at_once([stackable, *make()[1:]])
    epochs["stacked (vmap)"] = Stacked([training.network for training in make()], data, recipe).run_epoch
    return epochs


def compile_whole(network: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile a network as one graph for each shape of its input; backend: that of `torch.compile`.

    Its norms become PyTorch's operators, which the compiler fuses. `Module.compile` does not compile the loop of an
    `nn.Sequential`, only its parts, one by one, until it reaches its limit.
    """
    with_pytorch_norms(network)
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = COMPILATIONS
    network.forward = torch.compile(network.forward, dynamic=False, backend=backend)


def measure(
    network: str,
    dataset: Dataset,
    device: torch.device,
    recipe: Recipe,
    together: int,
    repetitions: int,
    order: str = "fixed",
) -> dict[str, Any]:
    """Time all ways in turns; return seconds per network and epoch, and the errors of ways that fail.

    order: a key of ORDERS.
    """
    torch.backends.cudnn.deterministic = ORDERS[order]
    seconds: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    with ExitStack() as opened:
        epochs = ways(network, dataset, device, recipe, together, opened)
        for repetition in range(repetitions + 1):
            for way, epoch in epochs.items():
                if way in failed:
                    continue
                begin = time.perf_counter()
                try:
                    epoch()
                    end = now(device)
                except Exception as error:
                    # The table reports ways that a device does not support.
                    failed[way] = f"{type(error).__name__}: {error}"[:200]
                    continue
                if repetition:
                    seconds.setdefault(way, []).append((end - begin) / together)
    return {
        "network": network,
        "precision": recipe.precision,
        "together": together,
        "cudnn": order,
        "seconds": {way: spread(values) for way, values in seconds.items()},
        "failed": failed,
    }


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the ways as a table, each with its ratio to the first."""
    title = "milliseconds per network and epoch: median (least-most)"
    return results_io.table(title, _cells(measured), left=("network", "in", "way", "times as fast as eager"))


def _cells(measured: Sequence[dict[str, Any]]) -> Iterator[dict[str, object]]:
    for row in measured:
        case = {
            "network": row["network"],
            "in": row["precision"],
            "concurrent": row["together"],
            "cuDNN's order": row["cudnn"],
        }
        eager = next(iter(row["seconds"].values()))["median"]
        for way, s in row["seconds"].items():
            ms = spread_text({name: 1e3 * value for name, value in s.items()}, digits=1)
            yield {**case, "way": way, "ms": ms, "times as fast as eager": f"{eager / s['median']:.2f}"}
        for way, error in row["failed"].items():
            yield {**case, "way": way, "ms": "fails", "times as fast as eager": error[:60]}


def main() -> None:
    """Measure what the command line names, show it, and write it to the file of --json."""
    arguments = _arguments()
    device = options.device(arguments)
    get_ready(device, arguments.threads)
    dataset = images(arguments.data, settings().home, arguments.train_images, arguments.test_images)
    cases = list(product(arguments.network, arguments.precision, arguments.together, arguments.cudnn))
    recipe = Recipe(epochs=10_000, batch_size=arguments.batch_size, augmentation=arguments.augmentation)
    measured = [
        measure(
            network,
            dataset,
            device,
            recipe.model_copy(update={"precision": precision}),
            together,
            arguments.repetitions,
            order,
        )
        for network, precision, together, order in results_io.progress(cases)
    ]
    results_io.show(table(measured))
    results_io.write("concurrency", arguments, {"data": arguments.data.partition(":")[0], "measured": measured}, device)


def _arguments() -> argparse.Namespace:
    parser = options.parser("concurrency", __doc__)
    options.add_device(parser)
    options.add_networks(parser, ["resnet20"])
    options.add_precisions(parser, ["fp32"])
    options.add_images(parser)
    parser.add_argument("--together", nargs="+", type=int, default=[1, 4], metavar="K", help="concurrent networks")
    parser.add_argument(
        "--cudnn", nargs="+", choices=ORDERS, default=["fixed"], help="the order in which cuDNN's algorithms may add"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="epochs that are timed")
    parser.add_argument("--augmentation", choices=["crop_flip", "none"], default="crop_flip")
    return parser.parse_args()


if __name__ == "__main__":
    main()
