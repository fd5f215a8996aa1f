"""No step and no evaluation waits for the host or uses another device: on the meta device, whose tensors are empty."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.models.networks import build, prunable
from engine.network_table import NETWORKS
from engine.registry import PRUNERS, SCORES
from engine.seeds import global_seed
from engine.stages.scores import make_mask
from engine.study.recipe import Recipe, Schedule
from engine.training.admm import AdmmPenalty
from engine.training.augment import to_device
from engine.training.sgd import Training
from tests.engine.conftest import made_dataset
from tests.engine.training.test_precision import SMALLEST
from tests.engine.training.test_replay import Halved, tensors
from tests.engine.training.test_replay import training_of as on_cpu

META = torch.device("meta")
IMAGES = made_dataset(train=10, test=4)
# On a GPU these wait until the host knows a number, or the size of a result.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal", "bincount")
NAMES = tuple(dict.fromkeys((*(name for name in NETWORKS if NETWORKS[name].version == 1), *SMALLEST)))


class Waits(TorchDispatchMode):
    """Notes the operations of a block that wait for the host, or have a tensor on another device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen = 0
        self._device = device

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = op.overloadpacket.__name__
        self.seen += 1
        if name.startswith(WAITS) or any(tensor.device != self._device for tensor in tensors((args, kwargs))):
            self.found.append(name)
        if name == "_fused_sgd_" and self._device == META:
            # Of all operations this one alone has no implementation there; it returns nothing.
            return None
        result = op(*args, **(kwargs or {}))
        if any(tensor.device != self._device for tensor in tensors(result)):
            self.found.append(name)
        return result


def training_of(make: Callable[[], nn.Module], pruner: str = "oneshot") -> Training:
    """Return a training on the meta device, of a network that a pruner has pruned or that ADMM trains."""
    recipe = Recipe(epochs=2, batch_size=4, augmentation="crop_flip")
    with global_seed(3, "weights"):
        network = make()
    entry, parameters, layers = PRUNERS[pruner], dict(network.named_parameters()), prunable(network)
    kernels = {layer: parameters[layer].detach() for layer in layers}
    mask = {} if entry.admm else make_mask(entry.score, kernels, 0.5, "layer", None, 0)
    data = to_device(IMAGES, recipe.augmentation, META)
    schedule = Schedule(recipe, 0.02, 2, 0, "retrain")
    training = Training(network.to(META), data, schedule, {n: part.to(META) for n, part in mask.items()})
    if "movement" in SCORES[entry.score].needs:
        training.flat_parameters.sum_movement()
    if entry.admm:
        training.penalty = AdmmPenalty(
            training.flat_parameters, layers, 0.5, "layer", rho=0.1, learning_rate=0.02, period=1
        )
    return training


def waits(training: Training) -> list[str]:
    """Return what waits in the two steps of different sizes, and in an evaluation."""
    training.begin_epoch()
    with Waits(training.device) as found:
        training.step(4)
        training.step(2)
        training.queue_evaluation()
    assert found.seen > 50
    return found.found


@pytest.mark.parametrize("name", NAMES)
def test_no_network_waits_for_the_host(name: str) -> None:
    assert waits(training_of(lambda: build(name, 1, 8, 4))) == []


@pytest.mark.parametrize("pruner", list(PRUNERS))
def test_no_pruner_waits_for_the_host(pruner: str) -> None:
    assert waits(training_of(lambda: build("lenet300", 1, 8, 4), pruner)) == []


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "conv2"])
def test_no_network_waits_for_the_host_in_bf16(name: str) -> None:
    # The meta device has no autocast, and a CPU shows no copies to it, but all other waits.
    assert waits(on_cpu(lambda: build(name, 1, 8, 4), "bf16")) == []


class Counted(nn.Sequential):
    """A network that divides by the number of its positive outputs."""

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = super().forward(x)
        return output / len(output.detach().flatten().nonzero())


class Moved(nn.Sequential):
    """A network with a constant on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.ones(4).to(x.device)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "wait"), [(Halved, "_local_scalar_dense"), (Counted, "nonzero"), (Moved, "_to_copy")]
)
def test_a_network_that_waits_for_the_host_is_found(network: type[nn.Sequential], wait: str) -> None:
    def make() -> nn.Module:
        return network(nn.Flatten(), nn.Linear(64, 4))

    if network is Moved:
        assert wait in waits(training_of(make))
    else:
        # The meta device refuses to make numbers of tensors.
        assert wait in waits(on_cpu(make, "fp32"))
        with pytest.raises((RuntimeError, NotImplementedError)):
            waits(training_of(make))
