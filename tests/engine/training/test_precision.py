"""A step with one cast and one copy of gradients has the numbers of one with a cast and a sum for each parameter."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from engine.models.cast import CastAhead
from engine.models.networks import build
from engine.seeds import global_seed
from engine.study.recipe import Recipe, Schedule
from engine.training import precision
from engine.training.augment import to_device
from engine.training.precision import Passes
from engine.training.sgd import Training
from tests.engine.conftest import BUILT_IN_NETWORKS, made_dataset
from tests.engine.training.test_sgd import equal

CPU, GPU = torch.device("cpu"), torch.device("cuda")
# The smallest of each family.
SMALLEST = ("wide_resnet10_1", "conv2", "torchvision:shufflenet_v2_x0_5")
IMAGES = made_dataset(train=20, test=4)


class Separate(Passes):
    """Passes in which autocast casts each parameter, and each gradient is added to its part of the buffer."""

    def forward(self, images: Tensor) -> Tensor:
        for module in self._network.modules():
            if isinstance(module, CastAhead):
                module.cast = ()
        return precision.forward(self._network, images, self._precision)

    def backward(self, loss: Tensor) -> None:
        self._flat.gradients.zero_()
        for name, gradient in self._flat.split(self._flat.gradients).items():
            self._parameters[name].grad = gradient
        loss.backward()


def trained(make: Callable[[], nn.Module], passes: type[Passes], within: str, layers_for: torch.device) -> Training:
    """Return a training after an epoch of steps of 8, 8 and 4 images."""
    torch.set_num_threads(1)
    recipe = Recipe(epochs=2, batch_size=8, precision=within, augmentation="crop_flip", weight_decay=1e-2)
    with global_seed(3, "weights"):
        network = make()
    mask = {name: tensor.abs() > 0.01 for name, tensor in network.named_parameters() if tensor.dim() > 1}
    data = to_device(IMAGES, recipe.augmentation, CPU)
    training = Training(network, data, Schedule(recipe, 0.05, 2, 0, "retrain"), mask, layers_for=layers_for)
    training._passes = passes(network, training.flat_parameters, within)
    training.run_epoch()
    return training


def same(make: Callable[[], nn.Module], within: str, layers_for: torch.device = GPU) -> bool:
    ours, separate = (trained(make, passes, within, layers_for) for passes in (Passes, Separate))
    assert ours.history[0].train_loss == separate.history[0].train_loss
    assert ours.history[0].test_loss == separate.history[0].test_loss
    assert torch.equal(ours.flat_parameters.gradients, separate.flat_parameters.gradients)
    return equal(ours.weights(), separate.weights())


@pytest.mark.parametrize("within", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [*BUILT_IN_NETWORKS, *SMALLEST])
def test_a_step_has_the_numbers_of_separate_casts_and_sums(name: str, within: str) -> None:
    assert same(lambda: build(name, 1, 8, 4), within)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_the_layers_of_a_cpu_have_the_numbers_of_separate_casts_and_sums(name: str) -> None:
    assert same(lambda: build(name, 1, 8, 4), "bf16", CPU)


class Added(nn.Module):
    """A network as a plugin may add it; each class below uses its layers in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.first, self.last = nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.flatten(x)).relu())  # type: ignore[no-any-return]


class Twice(Added):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.first(self.flatten(x)).relu()).relu())  # type: ignore[no-any-return]


class Tied(Added):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.first(self.flatten(x)).relu()).relu())  # type: ignore[no-any-return]


class Penalised(Added):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.first.weight.square().mean()


class InFullPrecision(Added):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(self.flatten(x)).relu()
        with torch.autocast(x.device.type, enabled=False):
            return self.last(hidden.float())  # type: ignore[no-any-return]


class WithOtherWeights(Added):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(self.flatten(x)).relu()
        return functional_call(self.last, {"weight": self.last.weight * 2}, hidden)  # type: ignore[no-any-return]


class Normalised(Added):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.first)


class Attending(Added):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1).view(-1, 8, 8)
        return super().forward(rows + self.attention(rows, rows, rows)[0])


class Unused(Added):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(2))


class Sometimes(Added):
    """Uses its first layer in every other pass, from the first on."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x) if self.passes % 2 else self.last(self.flatten(x))


class Frozen(Added):
    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)


@pytest.mark.parametrize("within", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "network",
    [
        *(Twice, Tied, Penalised, InFullPrecision, WithOtherWeights, Normalised, Attending),
        *(Unused, Sometimes, Frozen),
    ],
)
def test_added_networks_have_the_numbers_of_separate_casts_and_sums(network: type[Added], within: str) -> None:
    assert same(network, within)


def test_a_layer_that_a_step_does_not_use_has_no_gradient_from_the_step_before() -> None:
    training = trained(Sometimes, Passes, "bf16", GPU)
    gradients = training.flat_parameters.split(training.flat_parameters.gradients)
    # The third and last step uses the first layer again; one more does not.
    assert gradients["first.weight"].any()
    training.network.passes = 1
    training.begin_epoch()
    training.step(8)
    assert not gradients["first.weight"].any()
    assert gradients["last.weight"].any()


def test_layers_that_share_no_parameter_are_cast_ahead_and_others_are_not() -> None:
    def ahead(network: type[nn.Module]) -> set[str]:
        modules = trained(network, Passes, "bf16", GPU).network.named_modules()
        return {name for name, module in modules if isinstance(module, CastAhead)}

    assert ahead(Added) == {"first", "last"}
    assert ahead(Tied) == {"last"}
    assert ahead(Normalised) == {"last"}
    assert ahead(Attending) == {"first", "last"}


def test_gradients_in_another_memory_order_are_copied_too() -> None:
    flat = trained(lambda: build("conv2", 1, 8, 4), Passes, "fp32", GPU).flat_parameters
    found = {name: torch.randn(view.shape) for name, view in flat.split(flat.gradients).items()}
    assert any(tensor.dim() == 4 and min(tensor.shape[1:3]) > 1 for tensor in found.values())
    flat.write_gradients(found, {})
    assert equal(flat.split(flat.gradients), found)
    assert F.mse_loss(flat.gradients, flat.join(found, 0.0)) == 0
