"""The benchmark of concurrency: each way trains, and their times are compared fairly."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from benchmarks import concurrency
from benchmarks.fixtures import images
from benchmarks.options import ENLARGED
from engine.models.networks import build
from engine.study.recipe import Recipe
from engine.training.augment import to_device

CPU = torch.device("cpu")


# PyTorch causes this warning itself when it loads the fallbacks of vmap.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_networks_stacked_into_one_learn_separately(home: Path) -> None:
    dataset = images(ENLARGED, home, 256, 100)
    recipe = Recipe(epochs=3, batch_size=16, augmentation="none")
    ways = concurrency.ways("lenet300", dataset, CPU, recipe, 2, ExitStack())
    stacked = ways["stacked (vmap)"].__self__
    assert "stacked by the engine" in ways
    before = {name: tensor.detach().clone() for name, tensor in stacked._parameters.items()}
    # A third epoch would diverge, since vmap trains without a mask and at a constant rate.
    for _ in range(2):
        stacked.run_epoch()
    with torch.no_grad():
        test = to_device(dataset, "none", CPU).test
        outputs = stacked._forward(torch.stack([test, test]))
    hits = (outputs.argmax(2) == dataset.test_labels).double().mean(1)
    assert (hits > 0.4).all()
    # The networks differ.
    assert not torch.equal(outputs[0], outputs[1])
    assert all(tensor.shape == before[name].shape for name, tensor in stacked._parameters.items())


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_convolutions_that_vmap_does_not_support_are_stacked_with_pytorch_layers(home: Path) -> None:
    dataset = images("digits", home, 40, 10)
    recipe = Recipe(epochs=3, batch_size=20, augmentation="none")
    with ExitStack() as opened:
        stacked = concurrency.ways("vgg11", dataset, CPU, recipe, 2, opened)["stacked (vmap)"].__self__
        before = stacked._parameters["conv8.weight"].detach().clone()
        stacked.run_epoch()
    assert stacked._parameters["conv8.weight"].isfinite().all()
    assert not torch.equal(stacked._parameters["conv8.weight"], before)


def test_ways_are_timed_in_turns_and_a_failing_one_reports_its_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no compiler here")

    calls: list[str] = []
    ways = {concurrency.EAGER: lambda: calls.append("eager"), "compiled": fail}
    monkeypatch.setattr(concurrency, "ways", lambda *_: ways)
    row = concurrency.measure("lenet300", images("digits", home, 32, 10), CPU, Recipe(), 2, 3)
    assert len(calls) == 4
    assert list(row["seconds"]) == [concurrency.EAGER]
    assert row["failed"] == {"compiled": "RuntimeError: no compiler here"}
    assert concurrency.table([row]).row_count == 2


def test_the_whole_network_is_compiled_as_one_graph() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    network, images = build("resnet20", 3, 32, 10).eval(), torch.randn(2, 3, 32, 32)
    expected = network(images)
    concurrency.compile_whole(network, backend)
    assert torch.equal(network(images), expected)
    [graph] = graphs
    # ResNet-20 has 19 convolutions with batch norm and one linear layer.
    targets = [str(node.target) for node in graph.graph.nodes]
    assert sum("conv2d" in target for target in targets) == 19
    assert sum("linear" in target for target in targets) == 1
