"""What a CUDA graph relies on, proven on a CPU: a step is the same operations over the same memory each time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.masks import magnitude_mask
from engine.models.batch_norm import ClampedNorm2d
from engine.models.networks import build, prunable
from engine.seeds import global_seed
from engine.study.recipe import Recipe, Schedule
from engine.training.admm import AdmmPenalty
from engine.training.augment import to_device
from engine.training.cuda_graphs import rehearse
from engine.training.sgd import EVALUATION, Training
from tests.engine.conftest import BUILT_IN_NETWORKS, made_dataset
from tests.engine.training.test_precision import SMALLEST, Sometimes
from tests.engine.training.test_sgd import equal

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGES = made_dataset(train=10, test=4)


class Recording(TorchDispatchMode):
    """Keeps the operations of a block with their tensors; `replay` does only these again, over the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        if not op.is_view:
            self._operations.append((op, args, kwargs or {}, tensors(result)))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Do each operation again, and write what it returns where the recorded one did."""
        for op, args, kwargs, outputs in self._operations:
            for output, new in zip(outputs, tensors(op(*args, **kwargs)), strict=True):
                if new is not output:
                    output.copy_(new)


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def training_of(make: Callable[[], nn.Module], within: str, admm: bool = False, fused: bool = True) -> Training:
    """Return a training of a GPU's layers on a CPU, in steps of 4, 4 and 2 images."""
    torch.set_num_threads(1)
    recipe = Recipe(epochs=3, batch_size=4, precision=within, augmentation="crop_flip", milestones=[0.5])
    with global_seed(3, "weights"):
        network = make()
    for module in network.modules():
        if isinstance(module, ClampedNorm2d):
            module.fused = fused
    parameters, layers = dict(network.named_parameters()), prunable(network)
    mask = {} if admm else magnitude_mask({layer: parameters[layer] for layer in layers}, 0.5)
    data = to_device(IMAGES, recipe.augmentation, CPU)
    training = Training(network, data, Schedule(recipe, 0.02, 3, 0, "retrain"), mask, layers_for=GPU)
    training.flat_parameters.sum_movement()
    if admm:
        settings = {"rho": 0.1, "learning_rate": 0.02, "period": 1, "growth": 2.0}
        training.penalty = AdmmPenalty(training.flat_parameters, layers, 0.5, "layer", **settings)
    return training


def replayed(training: Training) -> dict[str | int, Recording]:
    """Make a training record its steps and its evaluation as a GPU's does, and return the recordings."""
    recordings: dict[str | int, Recording] = {}

    def do(name: str | int, work: Callable[[], None]) -> None:
        if name not in recordings:
            rehearse(work, training._undone)
            with training._undone(), Recording() as recordings[name]:
                work()
        recordings[name].replay()

    training._do = do
    return recordings


def same(make: Callable[[], nn.Module], within: str, admm: bool = False, fused: bool = True) -> bool:
    """Return whether three epochs of replays give every number of three epochs of plain steps."""
    plain, ours = (training_of(make, within, admm, fused) for _ in range(2))
    recordings = replayed(ours)
    outcomes = [[training.run_epoch() for _ in range(3)] for training in (plain, ours)]
    assert recordings.keys() == {4, 2, EVALUATION}
    losses = [[(row.train_loss, row.test_loss, row.test_accuracy) for row in rows] for rows in outcomes]
    states = [{name: tensor for name, tensor in t.state().items() if name != "history"} for t in (plain, ours)]
    return losses[0] == losses[1] and equal(*states)


@pytest.mark.parametrize("within", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [*BUILT_IN_NETWORKS, *SMALLEST])
def test_replayed_operations_give_the_weights_of_plain_steps(name: str, within: str) -> None:
    assert same(lambda: build(name, 1, 8, 4), within)


@pytest.mark.parametrize("within", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["resnet20", "lenet300"])
def test_replayed_operations_give_the_weights_of_plain_steps_in_admm(name: str, within: str) -> None:
    assert same(lambda: build(name, 1, 8, 4), within, admm=True)


def test_replayed_operations_give_the_weights_of_plain_steps_where_batch_norm_is_not_fused() -> None:
    assert same(lambda: build("resnet20", 1, 8, 4), "bf16", fused=False)


def test_a_step_that_depends_on_a_number_in_python_is_found() -> None:
    assert not same(Sometimes, "fp32")


class Halved(nn.Sequential):
    """A network whose step reads a number from the device, on which a branch depends."""

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = super().forward(x)
        return output / 2 if float(output.detach().mean()) > 0 else output


def test_a_step_that_depends_on_a_number_from_the_device_is_found() -> None:
    assert not same(lambda: Halved(nn.Flatten(), nn.Linear(64, 4)), "fp32")
