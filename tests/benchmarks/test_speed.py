"""The benchmarks of training: both sides train the same, and the arithmetic is right, whatever the figures are."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from benchmarks import floor, overhead, paper_cost, parity, step, training, ways
from benchmarks.options import ENLARGED
from benchmarks.plain import PlainLoop
from engine.models.networks import build
from engine.study.recipe import Recipe
from engine.training.augment import to_device

CPU = torch.device("cpu")


def test_both_loops_train_the_same_network_and_learn(home: Path) -> None:
    dataset = training.images(ENLARGED, home, 256, 100)
    assert tuple(dataset.train_images.shape) == (256, 32, 32, 3)
    told: list[int] = []
    row = training.measure(
        *("lenet300", "fp32", dataset, CPU),
        **{"processes": 2, "together": 2, "repetitions": 4, "batch_size": 16, "loaders": 0, "threads": 2},
        tell=lambda: told.append(1),
    )
    assert len(told) == row["epochs"] == 5
    for side in ("plain", "ours"):
        # One class in ten is guessed.
        assert row[side]["test_accuracy"] > 40
        assert 0 < row[side]["least"] <= row[side]["seconds_per_epoch"] <= row[side]["most"]
        assert row[side]["images_per_second"] == pytest.approx(256 / row[side]["seconds_per_epoch"])
    assert row["ratio"]["least"] <= row["ratio"]["median"] <= row["ratio"]["most"]
    assert training.table([row]).row_count == 1


def test_both_ways_reach_the_same_accuracy_and_the_difference_has_its_interval(home: Path) -> None:
    dataset = training.images(ENLARGED, home, 300, 200)
    told: list[int] = []
    row = parity.measure(
        *("lenet300", dataset, CPU),
        **{"rate": 0.05, "epochs": 6, "batch_size": 16, "seeds": range(2), "loaders": 0, "threads": 2},
        tell=lambda: told.append(1),
    )
    assert len(told) == 6
    for way, accuracies in row["test_accuracy"].items():
        # One class in ten is guessed.
        assert min(accuracies) > 40, way
        assert len(set(accuracies)) == 2, way
    gap = row["less_plain"]["fp32"]
    assert gap["low"] < gap["mean"] < gap["high"]
    assert parity.difference([3.0, 5.0], [1.0, 1.0]).mean == 3
    assert parity.table([row]).row_count == 1


def test_the_plain_loop_keeps_the_mask(home: Path) -> None:
    dataset = training.images(ENLARGED, home, 32, 10)
    network, mask = training._pruned("resnet20", dataset, 0)
    PlainLoop(network, mask, dataset, Recipe(epochs=1, batch_size=16), 0.1, CPU, loaders=0).run_epoch()
    weights = network.state_dict()
    assert all(not weights[layer][~kept].any() for layer, kept in mask.items())
    assert all(weights[layer][kept].all() for layer, kept in mask.items())


def test_the_floor_counts_what_layers_put_out() -> None:
    # 300, 100 and 10 outputs of the linear layers.
    assert floor.outputs_per_image("lenet300") == 410
    # The stem and six 3x3 convolutions at each of three sizes, and ten classes.
    assert floor.outputs_per_image("resnet20") == 7 * 16 * 32**2 + 6 * 32 * 16**2 + 6 * 64 * 8**2 + 10


@pytest.mark.parametrize(
    ("epoch", "checkpoint", "between"),
    [
        # Epochs of minutes: after each.
        (400.0, 0.3, 1),
        # Every 5 s; one of 0.3 s every 15 s, so that it takes a fiftieth of the time; one of 10 s every two minutes.
        (0.5, 0.01, 10),
        (0.5, 0.3, 30),
        (0.5, 10.0, 240),
    ],
)
def test_checkpoints_are_kept_at_the_ends_of_epochs(epoch: float, checkpoint: float, between: int) -> None:
    assert overhead.epochs_between(epoch, 0.0, 0.0, checkpoint) == between


def test_a_distance_is_how_many_times_the_floor_an_epoch_takes() -> None:
    found = {"floors": [{"network": "vgg11", "precision": "fp32", "seconds": 2.0}]}
    measured = [{"network": "vgg11", "precision": "fp32", "train_images": 5_000, "ours": {"seconds_per_epoch": 1.0}}]
    assert floor.distances(found, measured) == {("vgg11", "fp32"): 5.0}


def test_the_paper_costs_less_the_more_of_its_equal_work_is_done_once() -> None:
    needed = paper_cost.work()
    totals = [sum(counted.values()) for counted in needed.values()]
    assert totals == sorted(totals)
    assert len(set(totals)) == 3
    speeds = dict.fromkeys(needed["everywhere"], 3600.0)
    assert paper_cost.hours(needed["everywhere"], speeds) == pytest.approx(totals[0])
    with pytest.raises(KeyError, match="vgg11"):
        paper_cost.hours({"vgg11": 1}, {})


# PyTorch's own, where it loads what vmap falls back on.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_networks_stacked_into_one_learn_like_those_trained_one_by_one(home: Path) -> None:
    dataset = training.images(ENLARGED, home, 256, 100)
    recipe = Recipe(epochs=3, batch_size=16, augmentation="none")
    found = ways.ways("lenet300", dataset, CPU, recipe, 2, ExitStack())
    stacked = found["stacked (vmap)"].__self__
    assert "stacked by the engine" in found
    before = {name: tensor.detach().clone() for name, tensor in stacked._parameters.items()}
    # Without a mask, its one rate is too high for more.
    for _ in range(2):
        stacked.run_epoch()
    with torch.no_grad():
        test = to_device(dataset, "none", CPU).test
        outputs = stacked._forward(torch.stack([test, test]))
    hits = (outputs.argmax(2) == dataset.test_labels).double().mean(1)
    assert (hits > 0.4).all()
    # Each is a network of its own.
    assert not torch.equal(outputs[0], outputs[1])
    assert all(tensor.shape == before[name].shape for name, tensor in stacked._parameters.items())


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_convolutions_that_vmap_does_not_know_are_stacked_as_pytorch_has_them(home: Path) -> None:
    dataset = training.images("digits", home, 40, 10)
    recipe = Recipe(epochs=3, batch_size=20, augmentation="none")
    with ExitStack() as opened:
        stacked = ways.ways("vgg11", dataset, CPU, recipe, 2, opened)["stacked (vmap)"].__self__
        before = stacked._parameters["conv8.weight"].detach().clone()
        stacked.run_epoch()
    assert stacked._parameters["conv8.weight"].isfinite().all()
    assert not torch.equal(stacked._parameters["conv8.weight"], before)


def test_ways_are_timed_in_turns_and_one_that_fails_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no compiler here")

    calls: list[str] = []
    made = {ways.EAGER: lambda: calls.append("eager"), "compiled": fail}
    monkeypatch.setattr(ways, "ways", lambda *_: made)
    row = ways.measure("lenet300", training.images("digits", home, 32, 10), CPU, Recipe(), 2, 3)
    assert len(calls) == 4
    assert list(row["seconds"]) == [ways.EAGER]
    assert row["failed"] == {"compiled": "RuntimeError: no compiler here"}
    assert ways.table([row]).row_count == 2


def test_what_is_compiled_is_the_whole_network() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, given: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    network, images = build("resnet20", 3, 32, 10).eval(), torch.randn(2, 3, 32, 32)
    expected = network(images)
    ways.compile_whole(network, backend)
    assert torch.equal(network(images), expected)
    [graph] = graphs
    # 19 convolutions with batch norm, and the linear layer.
    called = [str(node.target) for node in graph.graph.nodes]
    assert sum("conv2d" in target for target in called) == 19
    assert sum("linear" in target for target in called) == 1


def test_a_profile_tells_the_time_of_a_step_by_operator(home: Path) -> None:
    dataset, recipe = training.images(ENLARGED, home, 64, 10), Recipe(batch_size=32)
    plain = step.measure_plain("lenet300", dataset, CPU, recipe)
    ours = step.measure("lenet300", "fp32", dataset, CPU, recipe, 2)
    for row in (plain, ours):
        times = list(row["operators"].values())
        assert times == sorted(times, reverse=True)
        assert 0 < sum(times) <= row["milliseconds"]
        assert row["steps"] == 2
    assert any("addmm" in operator for operator in ours["operators"])
    # What prepares images in the midst of training.
    assert any("DataLoader" in operator for operator in plain["operators"])
    assert step.table([plain, ours]).row_count == len(plain["operators"]) + len(ours["operators"]) + 2
