import pytest
from torch import Tensor, nn

from engine.models.inspection import inspect
from engine.registry import NETWORKS, Network
from engine.study.layers import Layer, known
from tests.engine.conftest import BUILT_IN_NETWORKS

SHAPES = [(3, 32, 10), (3, 32, 100), (1, 8, 10), (1, 28, 7), (3, 1, 2), (3, 2, 2), (3, 5, 3), (3, 17, 4), (3, 64, 10)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
def test_known_sizes_equal_those_of_the_built_network(name: str, shape: tuple[int, int, int]) -> None:
    assert known(name, *shape) == inspect(NETWORKS[name].builder, *shape)


@pytest.mark.parametrize("changed", [{"version": 2}, {"version": None}, {"builder": "elsewhere:lenet300"}], ids=str)
def test_a_network_with_changed_code_is_unknown(changed, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"title": "LeNet-300", "builder": "engine.models.networks:lenet300", "version": 1, **changed}
    monkeypatch.setitem(NETWORKS, "lenet300", Network(**entry))
    monkeypatch.setitem(NETWORKS, "added", Network("Added", "elsewhere:added"))
    assert known("lenet300", 1, 8, 10) is None
    assert known("added", 1, 8, 10) is None


class Needy(nn.Module):
    """A network that cannot be built on the meta device, since it reads a value of its weights."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, classes)
        self.scale = float(self.linear.weight.abs().max())

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)) * self.scale


def needy(channels: int, image_size: int, classes: int) -> nn.Module:
    return Needy(channels * image_size**2, classes)


def pooled(channels: int, image_size: int, classes: int) -> nn.Module:
    layers = [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(8), nn.BatchNorm2d(4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def test_a_network_that_reads_its_weights_is_built_with_real_ones() -> None:
    anatomy = inspect(f"{__name__}:needy", 1, 8, 10)
    assert anatomy.layers == (Layer("linear.weight", 640, 10),)
    assert anatomy.norm_pixels is None


def test_inspection_finds_the_smallest_normalised_map_and_refuses_too_small_images() -> None:
    assert inspect(f"{__name__}:pooled", 3, 16, 5).norm_pixels == 4
    with pytest.raises(RuntimeError):
        inspect(f"{__name__}:pooled", 3, 4, 5)
