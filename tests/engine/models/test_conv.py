import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.models import conv
from engine.models.conv import LARGE_WEIGHT, FullPrecisionConv2d, WideConv2d, prepare
from engine.models.networks import build
from engine.seeds import global_seed
from engine.training import precision

CPU = torch.device("cpu")
# Channels in and out of a layer whose weight is small, and of one whose weight is large.
NARROW, LARGE = (6, 10), (192, 160)
SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (3, 4), (4, 4), (5, 4)]

# How many convolutions of each kind a CPU uses for a network with 3 input channels.
KINDS = {
    ("resnet20", "fp32"): {"Conv2d": 2, "WideConv2d": 17},
    ("resnet20", "bf16"): {"Conv2d": 2, "WideConv2d": 17},
    ("vgg11", "fp32"): {"WideConv2d": 8},
    ("vgg11", "bf16"): {"WideConv2d": 8},
    ("mobilenet_v2", "fp32"): {"Conv2d": 51, "WideConv2d": 1},
    ("mobilenet_v2", "bf16"): {"Conv2d": 48, "WideConv2d": 1, "FullPrecisionConv2d": 3},
}


@pytest.fixture(params=[False, True], ids=["without", "with"])
def able(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the CPU has the instructions that `WideConv2d` asks for; each machine tests both cases."""
    monkeypatch.setattr(conv, "_cpu_has", lambda feature: request.param)
    return bool(request.param)


class _Operators(TorchDispatchMode):
    """Notes the names of all operators, and whether the first argument of each is channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.channels_last: dict[str, bool] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        self.channels_last[str(op)] = first is not None and first.stride(1) == 1
        return op(*args, **(kwargs or {}))


def outcome(layer: nn.Conv2d, images: Tensor, within: str) -> list[Tensor]:
    """Return a layer's output, and the gradients of its images and weight for a fixed gradient of the output."""
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


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("channels", [NARROW, LARGE])
@pytest.mark.parametrize("size", SIZES)
def test_a_wide_convolution_equals_a_plain_one(channels: tuple[int, int], size: tuple[int, int]) -> None:
    plain, wide, images = layers(channels, size)
    tensors = outcome(wide, images, "fp32")
    for tensor, expected in zip(tensors, outcome(plain, images, "fp32"), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors[:2])


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("channels", [NARROW, LARGE])
@pytest.mark.parametrize("size", SIZES)
def test_a_wide_convolution_in_bf16_is_as_close_to_fp32_as_a_plain_one(
    channels: tuple[int, int], size: tuple[int, int]
) -> None:
    plain, wide, images = layers(channels, size)
    exact, rough = outcome(copy.deepcopy(plain), images, "fp32"), outcome(plain, images, "bf16")
    for true, plain_tensor, tensor in zip(exact, rough, outcome(wide, images, "bf16"), strict=True):
        assert tensor.dtype == torch.float32
        assert float((tensor - true).norm()) <= 1.5 * float((plain_tensor - true).norm())


def test_a_large_weight_over_few_pixels_is_laid_out_anew_for_onednn(able: bool) -> None:
    _, wide, images = layers(LARGE, (4, 4))
    with _Operators() as in_fp32:
        outcome(wide, images, "fp32")
    assert in_fp32.channels_last["aten.convolution.default"] is not able
    with _Operators() as in_bf16:
        outcome(wide, images.detach(), "bf16")
    assert ("aten.convolution.default" in in_bf16.channels_last) is not able
    assert ("aten.index_select.default" in in_bf16.channels_last) is able


@pytest.mark.parametrize(("name", "within"), KINDS)
def test_on_a_cpu_convolutions_are_replaced_and_weights_keep_their_names(name: str, within: str) -> None:
    network = build(name, 3, 32, 10)
    names = list(network.state_dict())
    prepare(network, within, CPU)
    assert list(network.state_dict()) == names
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for module in convolutions:
        if isinstance(module, WideConv2d):
            assert (module.kernel_size, module.stride, module.groups) == ((3, 3), (1, 1), 1)
        elif isinstance(module, FullPrecisionConv2d):
            assert module.groups > 1
            assert max(module.stride) > 1
    assert Counter(type(module).__name__ for module in convolutions) == KINDS[name, within]


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


def test_on_a_gpu_convolutions_stay_plain() -> None:
    network = build("vgg11", 3, 32, 10)
    prepare(network, "bf16", torch.device("cuda"))
    assert {type(m) for m in network.modules() if isinstance(m, nn.Conv2d)} == {nn.Conv2d}
