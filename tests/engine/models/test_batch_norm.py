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
# The ends of the clamp, and whether a second tensor is added before it.
KINDS = [(-math.inf, math.inf, False), (0, math.inf, False), (0, math.inf, True), (0, 6, False), (-1, 1, True)]
# The shapes have many, some and one pixel per row, more channels than values in a row, and a prime number of pixels.
SHAPES = [(32, 16, 16, 16), (7, 24, 5, 3), (64, 300, 1, 1), (1, 7, 13, 1)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread, since with several the sums of PyTorch's operators vary."""
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
        pixels = 3 * torch.randn(shape) + 2
    return pixels.to(dtype).to(memory_format=torch.channels_last)


def outcome(norm: ClampedNorm2d, x: Tensor, added: Tensor | None, gradient: Tensor) -> list[Tensor]:
    """Return the outputs, gradients and statistics of two steps and an evaluation, in fp64."""
    dtype = torch.float64 if norm.weight.dtype == torch.float64 else x.dtype
    inputs = [None if x is None else x.detach().to(dtype).clone().requires_grad_() for x in (x, added)]
    for _ in range(2):
        output = norm(*inputs)
        output.backward(gradient.to(dtype))
    norm.eval()
    with torch.no_grad():
        evaluated = norm(*inputs)
    tensors = [output, evaluated, *(t.grad for t in (*inputs, norm.weight, norm.bias) if t is not None)]
    tensors += [norm.running_mean, norm.running_var, norm.num_batches_tracked]
    return [tensor.detach().double() for tensor in tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("low", "high", "adds"), KINDS)
def test_a_clamped_norm_equals_batch_norm_and_a_clamp(
    low: float, high: float, adds: bool, shape: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    norm = a_norm(shape[1], low, high)
    plain = copy.deepcopy(norm)
    plain.fused = False
    inputs = (images(shape, dtype, "x"), images(shape, dtype, "added") if adds else None, images(shape, dtype, "g"))
    exact = outcome(copy.deepcopy(plain).double(), *inputs)
    for fused, unfused, exact_tensor in zip(outcome(norm, *inputs), outcome(plain, *inputs), exact, strict=True):
        # The fused layer is about as close to the exact result as PyTorch is in the same precision.
        assert (fused - exact_tensor).norm() <= 1.2 * (unfused - exact_tensor).norm() + 2e-6 * exact_tensor.norm()


@pytest.mark.parametrize("low", [0, -math.inf])
def test_nan_stays_nan(low: float) -> None:
    x = torch.randn(4, 3, 2, 2)
    x[0, 1, 0, 0] = math.nan
    norm = a_norm(3, low)
    output = norm(x)
    assert output[:, 1].isnan().all()
    assert not output[:, [0, 2]].isnan().any()
    assert norm.running_mean is not None
    assert norm.running_mean.isnan().tolist() == [False, True, False]


def test_bf16_is_rounded_to_nearest_even() -> None:
    # Every bf16 number is extended in fp32 by nothing, almost half, half, more than half and almost one unit of it.
    below = torch.tensor([0, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=torch.int32)
    exact = ((torch.arange(-(2**15), 2**15, dtype=torch.int32) << 16)[:, None] + below).view(torch.float32)
    rounded = torch.zeros(exact.shape, dtype=torch.uint16)
    ones, none = np.ones(5), np.zeros(5)
    low, high = np.float32(-math.inf), np.float32(math.inf)
    # The layer adds the numbers to zeros and leaves them as they are.
    batch_norm_cpu.normalise(
        np.zeros((2**16, 5), np.uint16), exact.numpy(), rounded.numpy(), ones, none, none, ones, low, high
    )
    result, expected = rounded.view(torch.bfloat16), exact.bfloat16()
    assert torch.equal(result.isnan(), expected.isnan())
    assert torch.equal(result.nan_to_num(), expected.nan_to_num())


def test_one_value_for_each_channel_is_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        a_norm(3)(torch.ones(1, 3, 1, 1))


def test_mismatched_shapes_are_refused_as_pytorch_does() -> None:
    norm = a_norm(3)
    with pytest.raises(RuntimeError, match="running_mean should contain 4 elements not 3"):
        norm(torch.ones(2, 4, 5, 5))
    with pytest.raises(RuntimeError, match="must match the size"):
        norm(torch.ones(2, 3, 5, 5), torch.ones(2, 3, 4, 5))


def test_inputs_that_are_not_images_are_refused_as_pytorch_does() -> None:
    with pytest.raises(ValueError, match="expected 4D input"):
        a_norm(3)(torch.ones(5, 3))


def test_evaluation_has_a_gradient() -> None:
    norm, x = a_norm(5, 0).eval(), torch.randn(4, 5, 3, 3, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert torch.allclose(
            norm(x),
            torch.relu(norm.weight[:, None, None] * x / (1 + norm.eps) ** 0.5 + norm.bias[:, None, None]),
            atol=1e-6,
        )


def test_code_that_cannot_be_cached_on_disk_is_compiled_all_the_same() -> None:
    namespace: dict[str, Callable[[int], int]] = {}
    exec("def double(x):\n    return 2 * x\n", namespace)
    assert batch_norm_cpu.compiled(namespace["double"])(21) == 42


# The function compiles in a moment; numba caches code only for a module that is a file.
DOUBLED = """
from engine.models.batch_norm_cpu import compiled
@compiled
def double(x):
    return 2 * x
"""
# The script prints whether anything was compiled rather than loaded from the cache.
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
def test_images_and_gradients_of_networks_are_not_copied(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place: list[bool] = []
    rows = batch_norm._rows

    def watched(images: Tensor) -> batch_norm.Array:
        array = rows(images)
        in_place.append(array.ctypes.data == images.data_ptr())
        return array

    monkeypatch.setattr(batch_norm, "_rows", watched)
    training = training_of(name, precision=precision)
    training.begin_epoch()
    training.step(training.sizes[0])
    training.queue_evaluation()
    assert len(in_place) > 20
    assert all(in_place)


@pytest.mark.parametrize("name", ["resnet20", "vgg11", "mobilenet_v2"])
def test_networks_use_clamped_norms_alone(name: str) -> None:
    kinds = {type(module) for module in build(name, 3, 32, 10).modules()}
    assert ClampedNorm2d in kinds
    assert not kinds & {nn.BatchNorm2d, nn.ReLU, nn.ReLU6}


WITHOUT_NUMBA = """
import logging, sys
import torch
sys.modules["numba"] = None
logging.basicConfig()
from engine.models.batch_norm import ClampedNorm2d
torch.set_num_threads(1)
torch.manual_seed(0)
images = torch.randn(8, 4, 5, 5)
results = []
for fused in (True, False):
    norm = ClampedNorm2d(4, 0.0)
    norm.fused = fused
    x = images.clone().requires_grad_()
    norm(x).square().sum().backward()
    results.append([x.grad, norm.weight.grad, norm.running_var])
print(all(torch.equal(*pair) for pair in zip(*results)))
"""


def test_without_numba_pytorch_computes_the_same_and_a_warning_is_logged() -> None:
    command = [sys.executable, "-c", WITHOUT_NUMBA]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert done.stderr.count("batch norm is slower here") == 1


def test_without_compiled_kernels_a_gpu_uses_pytorch_and_a_warning_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "engine.models.batch_norm_gpu", raising=False)
    device = torch.device("cuda", 7)
    assert [batch_norm._can_fuse(device) for _ in range(2)] == [False, False]
    assert caplog.text.count("batch norm is slower here, since its compiled kernels cannot be used") == 1


def test_a_difference_from_pytorch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    batch_norm.check(torch.device("cpu"))
    normalise = batch_norm_cpu.normalise_batch

    def wrong(x: np.ndarray, *others: object) -> object:
        mean, inverse = normalise(x, *others)
        return mean, inverse * 1.01

    monkeypatch.setattr(batch_norm_cpu, "normalise_batch", wrong)
    with pytest.raises(RuntimeError, match="by more than rounding"):
        batch_norm.check(torch.device("cpu"))


# Triton's interpreter runs the kernels of a GPU on a CPU. It cuts numbers off in bf16, where a GPU rounds them.
INTERPRETED = """
import torch
from engine.models import batch_norm, batch_norm_gpu
torch.set_num_threads(1)
calls = []
library = torch.library.Library("ticketscope", "IMPL", "CPU")
for function in (batch_norm_gpu.clamped_norm, batch_norm_gpu.clamped_norm_backward, batch_norm_gpu.evaluated_norm):
    def call(*arguments, function=function):
        calls.append(function.__name__)
        return function(*arguments)
    library.impl(function.__name__, call, "CPU", allow_override=True)
batch_norm.check(torch.device("cpu"))
print(sorted(set(calls)))
"""


def test_the_kernels_of_a_gpu_equal_pytorch_in_an_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton, which PyTorch for CUDA brings along, is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['clamped_norm', 'clamped_norm_backward', 'evaluated_norm']"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_kernels_of_a_gpu_are_used_there_and_equal_pytorch() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    assert batch_norm._can_fuse(device)
    batch_norm.check(device)
    norm, x = a_norm(24, 0).to(device), images((8, 24, 9, 7), torch.bfloat16, "x").to(device)
    assert all(torch.equal(a, b) for a, b in zip(*(_step(norm, x) for _ in range(2)), strict=True))


def _step(norm: ClampedNorm2d, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output = norm(x)
    return [output, *torch.autograd.grad(output.float().square().sum(), [x, norm.weight, norm.bias])]
