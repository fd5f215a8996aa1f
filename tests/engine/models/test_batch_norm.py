import copy
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.models import batch_norm, batch_norm_cpu
from engine.models.batch_norm import ClampedNorm2d
from engine.models.networks import build
from engine.seeds import global_seed
from tests.engine.training.test_sgd import training_of

ROOT = Path(__file__).parents[3]
# Where the clamp begins and ends, and whether something is added before it.
KINDS = [(-math.inf, math.inf, False), (0, math.inf, False), (0, math.inf, True), (0, 6, False), (-1, 1, True)]
# Many pixels in a row, some, one; more channels than a row has values; a number of pixels that is prime.
SHAPES = [(32, 16, 16, 16), (7, 24, 5, 3), (64, 300, 1, 1), (1, 7, 13, 1)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On several, PyTorch's operators take turns."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def a_norm(channels: int, low: float = -math.inf, high: float = math.inf) -> ClampedNorm2d:
    with global_seed(1, "norm"):
        norm = ClampedNorm2d(channels, low, high)
        nn.init.normal_(norm.weight, 1.0, 0.5)
        nn.init.normal_(norm.bias)
    return norm


def images(shape: tuple[int, ...], dtype: torch.dtype, purpose: str) -> Tensor:
    with global_seed(2, purpose):
        drawn = 3 * torch.randn(shape) + 2
    return drawn.to(dtype).to(memory_format=torch.channels_last)


def outcome(norm: ClampedNorm2d, x: Tensor, added: Tensor | None, gradient: Tensor) -> list[Tensor]:
    """Return all that two steps and an evaluation put out and leave behind, in fp64."""
    dtype = torch.float64 if norm.weight.dtype == torch.float64 else x.dtype
    taken = [None if one is None else one.detach().to(dtype).clone().requires_grad_() for one in (x, added)]
    for _ in range(2):
        output = norm(*taken)
        output.backward(gradient.to(dtype))
    norm.eval()
    with torch.no_grad():
        evaluated = norm(*taken)
    found = [output, evaluated, *(one.grad for one in (*taken, norm.weight, norm.bias) if one is not None)]
    found += [norm.running_mean, norm.running_var, norm.num_batches_tracked]
    return [one.detach().double() for one in found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("low", "high", "adds"), KINDS)
def test_it_is_batch_norm_and_a_clamp(
    low: float, high: float, adds: bool, shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    norm = a_norm(shape[1], low, high)
    plain = copy.deepcopy(norm)
    plain.fused = False
    given = (images(shape, dtype, "x"), images(shape, dtype, "added") if adds else None, images(shape, dtype, "g"))
    exact = outcome(copy.deepcopy(plain).double(), *given)
    for one, usual, true in zip(outcome(norm, *given), outcome(plain, *given), exact, strict=True):
        # No further from the truth than PyTorch in the same precision.
        assert (one - true).norm() <= 1.2 * (usual - true).norm() + 2e-6 * true.norm()


@pytest.mark.parametrize("low", [0, -math.inf])
def test_what_is_not_a_number_stays_none(low: float) -> None:
    x = torch.randn(4, 3, 2, 2)
    x[0, 1, 0, 0] = math.nan
    norm = a_norm(3, low)
    found = norm(x)
    assert found[:, 1].isnan().all()
    assert not found[:, [0, 2]].isnan().any()
    assert norm.running_mean is not None
    assert norm.running_mean.isnan().tolist() == [False, True, False]


def test_bf16_is_rounded_to_the_nearest_and_of_two_to_the_even_one() -> None:
    # Every number of bf16 with what lies below it in fp32: nothing, almost half, half, more than half, and most of all.
    below = torch.tensor([0, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=torch.int32)
    exact = ((torch.arange(-(2**15), 2**15, dtype=torch.int32) << 16)[:, None] + below).view(torch.float32)
    rounded = torch.zeros(exact.shape, dtype=torch.uint16)
    ones, none = np.ones(5), np.zeros(5)
    low, high = np.float32(-math.inf), np.float32(math.inf)
    # Zeros, plus the numbers.
    batch_norm_cpu.normalise(
        np.zeros((2**16, 5), np.uint16), exact.numpy(), rounded.numpy(), ones, none, none, ones, low, high
    )
    found, expected = rounded.view(torch.bfloat16), exact.bfloat16()
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(), expected.nan_to_num())


def test_one_value_for_each_channel_is_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        a_norm(3)(torch.ones(1, 3, 1, 1))


def test_what_does_not_fit_is_refused_as_pytorch_does() -> None:
    norm = a_norm(3)
    with pytest.raises(RuntimeError, match="running_mean should contain 4 elements not 3"):
        norm(torch.ones(2, 4, 5, 5))
    with pytest.raises(RuntimeError, match="must match the size"):
        norm(torch.ones(2, 3, 5, 5), torch.ones(2, 3, 4, 5))


def test_what_are_no_images_is_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match="expected 4D input"):
        a_norm(3)(torch.ones(5, 3))


def test_it_can_be_evaluated_for_a_gradient() -> None:
    norm, x = a_norm(5, 0).eval(), torch.randn(4, 5, 3, 3, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert torch.allclose(
            norm(x),
            torch.relu(norm.weight[:, None, None] * x / (1 + norm.eps) ** 0.5 + norm.bias[:, None, None]),
            atol=1e-6,
        )


def test_what_cannot_be_kept_on_disk_is_compiled_all_the_same() -> None:
    made: dict[str, Callable[[int], int]] = {}
    exec("def double(x):\n    return 2 * x\n", made)
    assert batch_norm_cpu.compiled(made["double"])(21) == 42


# A loop that takes moments to compile, in a module of its own, since that is where numba looks for saved code.
DOUBLED = """
from engine.models.batch_norm_cpu import compiled
@compiled
def double(x):
    return 2 * x
"""
# Prints whether anything was compiled, rather than loaded.
COMPILES = """
import resource, sys, torch
torch.set_num_threads(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from engine.models.batch_norm import ClampedNorm2d
from numba.core.event import install_recorder
with install_recorder("numba:compile") as compiled:
    {}
print(len(compiled.buffer) > 0)
"""
TRAINED = "ClampedNorm2d(2)(torch.ones(2, 2, 2, 2)).sum().backward()"


def compiles(code: str, largest: int, **environment: str) -> str:
    """Run code in a process that can write files of at most some bytes; return whether it compiled anything."""
    command = [sys.executable, "-c", COMPILES.format(code), str(largest)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_compiled_code_is_saved_for_the_next_process_unless_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "doubled.py").write_text(DOUBLED)
    code = "import doubled; assert doubled.double(21) == 42"
    places = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    assert [compiles(code, largest, **places) for largest in (1000, 10**9, 10**9)] == ["True", "True", "False"]


def test_batch_norm_is_compiled_once_for_all_processes() -> None:
    ClampedNorm2d(2)(torch.ones(2, 2, 2, 2)).sum().backward()
    assert compiles(TRAINED, 10**9) == "False"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["resnet20", "vgg11", "mobilenet_v2"])
def test_images_and_gradients_of_networks_are_taken_where_they_lie(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies: list[bool] = []
    rows = batch_norm._rows

    def watched(images: Tensor) -> batch_norm.Array:
        found = rows(images)
        lies.append(found.ctypes.data == images.data_ptr())
        return found

    monkeypatch.setattr(batch_norm, "_rows", watched)
    training = training_of(name, precision=precision)
    training.begin_epoch()
    training.step(training.sizes[0])
    training.queue_evaluation()
    assert len(lies) > 20
    assert all(lies)


@pytest.mark.parametrize("name", ["resnet20", "vgg11", "mobilenet_v2"])
def test_networks_have_no_other_norms_and_no_clamps_of_their_own(name: str) -> None:
    kinds = {type(module) for module in build(name, 3, 32, 10).modules()}
    assert ClampedNorm2d in kinds
    assert not kinds & {nn.BatchNorm2d, nn.ReLU, nn.ReLU6}
