import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.masks import magnitude_mask
from engine.models.batch_norm import ClampedNorm2d
from engine.models.conv import FullPrecisionConv2d
from engine.models.networks import build, prunable
from engine.seeds import global_seed
from engine.study.recipe import Recipe, Schedule
from engine.training.augment import to_device
from engine.training.concurrent import EpochOutcome, train
from engine.training.sgd import Diverged, Training
from tests.engine.conftest import BUILT_IN_NETWORKS, batches, made_dataset

CPU = torch.device("cpu")


def training_of(
    name: str = "lenet300", sparsity: float | None = 0.8, rate: float = 0.05, seed: int = 0, device=CPU, **recipe
) -> Training:
    settings = Recipe(**{"epochs": 4, "batch_size": 32, "augmentation": "crop_flip", **recipe})
    dataset = made_dataset()
    with global_seed(seed, "weights"):
        network = build(name, dataset.channels, dataset.image_size, len(dataset.classes))
    mask = {}
    if sparsity is not None:
        mask = magnitude_mask({n: dict(network.named_parameters())[n] for n in prunable(network)}, sparsity)
    data = to_device(dataset, settings.augmentation, device)
    return Training(network.to(device), data, Schedule(settings, rate, settings.epochs, seed, "retrain"), mask)


def run(training: Training, epochs: int | None = None) -> Training:
    """Train to the end or to an epoch, and return the training."""

    def after_epoch(training: Training, outcome: EpochOutcome) -> bool:
        if isinstance(outcome, Diverged):
            raise outcome
        return outcome.epoch != epochs

    train([training], after_epoch)
    return training


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("name", "fused", "near"), [("lenet300", False, 1), ("resnet20", False, 1), ("resnet20", True, 5)]
)
def test_an_epoch_equals_plain_pytorch_with_the_mask_multiplied_after_each_step(
    name: str, fused: bool, near: int
) -> None:
    # Our norms round differently from PyTorch's, so that their tolerance is wider.
    ours = training_of(name, weight_decay=1e-2, epochs=2, milestones=[0.5])
    plain = training_of(name, weight_decay=1e-2, epochs=2, milestones=[0.5])
    network = plain.network
    reference = build(name, 1, 8, 4)
    reference.load_state_dict(network.state_dict())
    for trained, is_fused in ((ours.network, fused), (reference, False)):
        for module in trained.modules():
            if isinstance(module, ClampedNorm2d):
                module.fused = is_fused
    kernels = dict(reference.named_parameters())
    mask = {n: kernels[n].detach() != 0 for n in prunable(reference)}
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)
    for epoch in range(2):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 if epoch == 0 else 0.005
        reference.train()
        for images, labels in batches(ours._data, 32, 0, "retrain", epoch):
            optimiser.zero_grad()
            nn.functional.cross_entropy(reference(images), labels).backward()
            for n, kept in mask.items():
                kernels[n].grad *= kept
            optimiser.step()
            with torch.no_grad():
                for n, kept in mask.items():
                    kernels[n] *= kept
    run(ours)
    for n, tensor in reference.state_dict().items():
        torch.testing.assert_close(ours.weights()[n], tensor.contiguous(), rtol=near * 2e-4, atol=near * 2e-5)


@pytest.mark.parametrize("name", BUILT_IN_NETWORKS)
def test_pruned_weights_are_zero_after_every_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_of(name, sparsity=0.9, epochs=1, weight_decay=0.1)
    gone = training._mask == 0
    assert 0.5 < float(gone.float().mean()) < 0.95
    steps = []
    step = training.step

    def watched(size: int) -> None:
        step(size)
        steps.append(bool((training.flat_parameters.values[gone] == 0.0).all()))

    monkeypatch.setattr(training, "step", watched)
    training.run_epoch()
    assert len(steps) == 3
    assert all(steps)


def test_a_mask_zeroes_weights_before_the_first_step() -> None:
    training = training_of(sparsity=0.9)
    for name, tensor in training.weights().items():
        if name in prunable(training.network):
            assert (tensor == 0).float().mean() > 0.85


@pytest.mark.parametrize("name", ["lenet300", "resnet20", "vgg11", "mobilenet_v2"])
def test_resumed_training_equals_uninterrupted_bit_for_bit(name: str) -> None:
    torch.set_num_threads(1)
    whole = run(training_of(name, epochs=3))
    first = training_of(name, epochs=3)
    run(first, 2)
    assert len(first.history) == 2
    second = training_of(name, epochs=3)
    second.load(first.state())
    run(second)
    assert equal(whole.weights(), second.weights())
    strip = [(r.epoch, r.train_loss, r.test_loss, r.test_accuracy) for r in whole.history]
    assert strip == [(r.epoch, r.train_loss, r.test_loss, r.test_accuracy) for r in second.history]


def test_strided_depthwise_convolutions_stay_out_of_bf16_on_a_cpu() -> None:
    training = training_of("mobilenet_v2", epochs=1, precision="bf16")
    exempt = [m for m in training.network.modules() if isinstance(m, FullPrecisionConv2d)]
    assert exempt
    assert all(m.groups > 1 and max(m.stride) > 1 for m in exempt)
    types: set[torch.dtype] = set()
    for module in exempt:
        module.register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
    names = set(training.weights())
    training.run_epoch()
    assert types == {torch.float32}
    assert names == set(training_of("mobilenet_v2").weights())


class _MixedLayouts(TorchDispatchMode):
    """Notes the operators with inputs of which some are channels-last and some are not."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []
        self.seen = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # With one pixel or one channel, both layouts are the same.
        images = [x for x in args if isinstance(x, Tensor) and x.dim() == 4 and min(x.shape[1:3]) > 1]
        self.seen += len(images) > 1
        if len({x.is_contiguous(memory_format=torch.channels_last) for x in images}) > 1:
            self.mixed.append(str(op))
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["resnet20", "vgg11", "mobilenet_v2"])
def test_gradients_have_the_memory_layout_of_activations(name: str, precision: str) -> None:
    # Operators over tensors of both layouts take many times as long.
    training = training_of(name, precision=precision)
    training.begin_epoch()
    with _MixedLayouts() as operators:
        training.step(training.sizes[0])
        training.queue_evaluation()
    assert operators.seen > 5
    assert operators.mixed == []


def test_networks_of_linear_layers_are_tested_on_flat_images() -> None:
    flat, images = training_of("lenet300").test_images, training_of("resnet20").test_images
    assert torch.equal(flat, images.flatten(1))


def test_training_lowers_the_loss_and_reports_accuracy_in_percent() -> None:
    training = run(training_of(epochs=12, sparsity=0.5, augmentation="none"))
    assert training.history[-1].test_accuracy > 90
    assert 0 <= training.history[0].train_accuracy <= 100
    assert training.history[-1].train_loss < training.history[0].train_loss
    assert [row.epoch for row in training.history] == list(range(1, 13))


def test_learning_rate_drops_at_80_and_120_of_150() -> None:
    recipe = Recipe()
    rates = [recipe.learning_rate(0.1, epoch, 150) for epoch in range(150)]
    assert rates[79] == 0.1
    assert math.isclose(rates[80], 0.01)
    assert math.isclose(rates[119], 0.01)
    assert math.isclose(rates[120], 0.001)
    assert recipe.k == 10


def test_bf16_comes_close_to_fp32() -> None:
    exact, rough = run(training_of("resnet20", epochs=6)), run(training_of("resnet20", epochs=6, precision="bf16"))
    assert abs(exact.history[-1].train_loss - rough.history[-1].train_loss) < 0.1
    assert rough.weights()["conv.weight"].dtype == torch.float32


def test_a_loss_that_is_not_finite_raises_diverged() -> None:
    with pytest.raises(Diverged, match=r"no longer finite after epoch 1 of 4 at learning rate 1e\+09"):
        run(training_of(rate=1e9, sparsity=None))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_trains_to_the_same_losses_as_the_cpu(precision: str) -> None:
    cpu = run(training_of("resnet20", epochs=3, precision=precision))
    gpu = run(training_of("resnet20", epochs=3, precision=precision, device=torch.device("cuda")))
    assert gpu.history[0].train_loss == pytest.approx(cpu.history[0].train_loss, rel=0.05)
    assert bool((gpu.flat_parameters.values[gpu._mask == 0] == 0).all())
