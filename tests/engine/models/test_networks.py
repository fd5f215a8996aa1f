import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.models.networks import BasicBlock, GlobalAverage, build, prunable
from engine.registry import network_title
from engine.seeds import global_seed
from tests.engine.conftest import BUILT_IN_NETWORKS

MILLIONS = {"resnet20": (0.265, 0.275), "vgg11": (9.2, 9.3), "mobilenet_v2": (2.2, 2.3), "lenet300": (0.9, 1.0)}


@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
def test_size_in_parameters(name: str) -> None:
    low, high = MILLIONS[name]
    assert low <= sum(p.numel() for p in build(name, 3, 32, 10).parameters()) / 1e6 <= high


@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 32, 100), (1, 8, 10), (1, 28, 7)])
def test_takes_channels_image_size_and_classes(name: str, channels: int, size: int, classes: int) -> None:
    assert build(name, channels, size, classes)(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
def test_all_kernels_but_the_first_convolution_are_prunable(name: str) -> None:
    network = build(name, 3, 32, 10)
    kernels = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    first = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)][:1]
    assert prunable(network) == tuple(f"{n}.weight" for n in kernels if n not in first)
    assert len(prunable(network)) == {"resnet20": 19, "vgg11": 8, "mobilenet_v2": 52, "lenet300": 3}[name]


@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
def test_weights_follow_from_the_seed_alone(name: str) -> None:
    def weights(seed: int, purpose: str) -> torch.Tensor:
        with global_seed(seed, purpose):
            return torch.cat([p.detach().flatten() for p in build(name, 3, 32, 10).parameters() if p.dim() > 1])

    before = torch.random.get_rng_state()
    initial = weights(3, "initial")
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(initial, weights(3, "initial"))
    assert not torch.equal(initial, weights(4, "initial"))
    correlation = torch.corrcoef(torch.stack([initial, weights(3, "reinit")]))[0, 1]
    assert abs(float(correlation)) < 0.02


def test_a_network_without_a_title_goes_by_its_name() -> None:
    assert network_title("resnet20") == "ResNet-20"
    assert network_title("unknown") == "unknown"


@pytest.mark.parametrize(("stride", "widen"), [(1, 0), (2, 6), (1, 3)])
def test_a_shortcut_is_every_other_pixel_between_channels_of_zeros(stride: int, widen: int) -> None:
    x = torch.randn(2, 6, 8, 8)
    shortcut = BasicBlock(6, 6 + widen, stride)._shortcut(x)
    pixels = x[:, :, ::stride, ::stride]
    before = widen // 2
    assert shortcut.shape == (2, 6 + widen, 8 // stride, 8 // stride)
    assert torch.equal(shortcut[:, before : before + 6], pixels)
    assert float(shortcut.abs().sum()) == pytest.approx(float(pixels.abs().sum()))


def test_global_average_equals_adaptive_average_pooling() -> None:
    x = torch.randn(3, 5, 4, 4)
    assert torch.allclose(GlobalAverage()(x), F.adaptive_avg_pool2d(x, 1).flatten(1))
