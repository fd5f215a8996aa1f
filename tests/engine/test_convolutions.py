import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine import convolutions, precision
from engine.convolutions import LARGE_WEIGHT, FullPrecisionConv2d, WideConv2d, prepare
from engine.networks import build
from engine.seeds import global_seed

CPU = torch.device("cpu")
# Channels in and out: of a weight that is not large, and of one that is.
NARROW, LARGE = (6, 10), (192, 160)
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (3, 4), (4, 4), (5, 4)]


class _Operators(TorchDispatchMode):
    """Notes the names of all operators."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(op))
        return op(*args, **(kwargs or {}))


def outcome(layer: nn.Conv2d, images: Tensor, within: str) -> list[Tensor]:
    """Return what a layer puts out, and the gradients of its images and weight for fixed ones of what it puts out."""
    images = images.to(memory_format=torch.channels_last).requires_grad_()
    output = precision.forward(layer, images, within)
    with global_seed(2, "gradient"):
        output.backward(torch.randn(output.shape))
    assert images.grad is not None
    assert layer.weight.grad is not None
    return [output.detach(), images.grad, layer.weight.grad]


def layers(channels: tuple[int, int], size: tuple[int, int]) -> tuple[nn.Conv2d, nn.Conv2d, Tensor]:
    with global_seed(1, "layers"):
        plain, images = nn.Conv2d(*channels, 3, padding=1, bias=False), torch.randn(5, channels[0], *size)
    wide = nn.Conv2d(*channels, 3, padding=1, bias=False)
    wide.load_state_dict(plain.state_dict())
    prepare(wide, "fp32", CPU)
    assert isinstance(wide, WideConv2d)
    assert (wide.weight.nbytes >= LARGE_WEIGHT) is (channels == LARGE)
    return plain, wide, images


@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("channels", [NARROW, LARGE])
@pytest.mark.parametrize("size", SIZES)
def test_a_wide_convolution_is_a_convolution(
    channels: tuple[int, int], size: tuple[int, int], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "_cpu_has", lambda feature: able)
    plain, wide, images = layers(channels, size)
    found = outcome(wide, images, "fp32")
    for one, expected in zip(found, outcome(plain, images, "fp32"), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in found[:2])


@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("channels", [NARROW, LARGE])
@pytest.mark.parametrize("size", SIZES)
def test_in_bf16_it_strays_no_further_from_fp32_than_a_convolution_does(
    channels: tuple[int, int], size: tuple[int, int], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "_cpu_has", lambda feature: able)
    plain, wide, images = layers(channels, size)
    exact, rough = outcome(copy.deepcopy(plain), images, "fp32"), outcome(plain, images, "bf16")
    for whole, expected, found in zip(exact, rough, outcome(wide, images, "bf16"), strict=True):
        assert found.dtype == torch.float32
        assert float((found - whole).norm()) <= 1.5 * float((expected - whole).norm())


@pytest.mark.parametrize("able", [False, True])
def test_in_bf16_products_take_the_place_of_large_convolutions_where_there_is_amx(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "_cpu_has", lambda feature: able)
    _, wide, images = layers(LARGE, (4, 4))
    with _Operators() as seen:
        outcome(wide, images, "bf16")
    assert ("aten.convolution.default" in seen.names) is not able
    assert ("aten.index_select.default" in seen.names) is able


@pytest.mark.parametrize("within", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["resnet20", "vgg11", "mobilenet_v2"])
def test_a_cpu_gets_its_own_convolutions_and_weights_keep_their_names(name: str, within: str) -> None:
    network = build(name, 3, 32, 10)
    names = list(network.state_dict())
    prepare(network, within, CPU)
    assert list(network.state_dict()) == names
    kinds = {
        kind: [m for m in network.modules() if type(m) is kind] for kind in (nn.Conv2d, WideConv2d, FullPrecisionConv2d)
    }
    assert all(m.kernel_size == (3, 3) and m.stride == (1, 1) and m.groups == 1 for m in kinds[WideConv2d])
    assert all(m.groups > 1 and max(m.stride) > 1 for m in kinds[FullPrecisionConv2d])
    found = {kind.__name__: len(of) for kind, of in kinds.items() if of}
    assert (
        found
        == {
            "resnet20": {"Conv2d": 2, "WideConv2d": 17},
            "vgg11": {"WideConv2d": 8},
            "mobilenet_v2": {"Conv2d": 51, "WideConv2d": 1}
            if within == "fp32"
            else {"Conv2d": 48, "WideConv2d": 1, "FullPrecisionConv2d": 3},
        }[name]
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
    ],
)
def test_other_convolutions_stay_as_they_are(layer: nn.Conv2d) -> None:
    prepare(layer, "fp32", CPU)
    assert type(layer) is nn.Conv2d


def test_a_gpu_convolves_by_itself() -> None:
    network = build("vgg11", 3, 32, 10)
    prepare(network, "bf16", torch.device("cuda"))
    assert {type(m) for m in network.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}
