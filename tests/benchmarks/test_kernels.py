"""The count of kernels: what counts as one, and the budget of a step."""

from pathlib import Path

import pytest
import torch

from benchmarks import step
from benchmarks.fixtures import images
from benchmarks.kernels import Kernels, kernels_of_step
from benchmarks.options import ENLARGED
from engine.dataset import Dataset

# The most kernels of a step in bf16, with compiled batch norm.
BUDGET = {"resnet20": 230, "vgg11": 110, "mobilenet_v2": 480, "lenet300": 45}


@pytest.fixture
def dataset(home: Path) -> Dataset:
    return images(ENLARGED, home, 10, 10)


def test_views_and_memory_are_no_kernels() -> None:
    values = torch.zeros(4, 6)
    with Kernels() as kernels:
        torch.empty_like(values)
        values.t().reshape(4, 6)
        values.view(6, 4).unsqueeze(0).expand(3, 6, 4).detach()[:, 1:]
        values.contiguous()
        values.float()
    # Only the transposed values are written anew.
    assert kernels.counts == {"clone": 1}


def test_both_passes_and_every_cast_count() -> None:
    layer, x = torch.nn.Linear(3, 2), torch.ones(4, 3)
    with Kernels() as kernels, torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        layer(x).float().sum().backward()
    # The casts are those of input, weight, bias, output and their gradients, without that of the input.
    assert kernels.counts["_to_copy"] == 7
    assert kernels.counts["addmm"] == kernels.counts["mm"] == 1


def test_lists_of_tensors_count_by_launches() -> None:
    def copies(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> int:
        with Kernels() as kernels:
            torch._foreach_copy_(targets, sources)
        return kernels.counts["_foreach_copy_"]

    few, many = [torch.zeros(3, 5) for _ in range(64)], [torch.zeros(3, 5) for _ in range(65)]
    assert (copies(few, few), copies(many, many)) == (1, 2)
    assert copies([torch.zeros(2**25)], [torch.zeros(2**25)]) == 2
    assert copies(few, [torch.zeros(5, 3).t() for _ in few]) == 64


@pytest.mark.parametrize("network", BUDGET)
def test_a_step_stays_within_its_budget_of_kernels(network: str, dataset: Dataset) -> None:
    fused = kernels_of_step(network, "bf16", dataset, fused=True)
    assert 20 < fused.total() <= BUDGET[network], fused.most_common()
    # Gradients are copied, and weights cast, by a number of operations that does not depend on the number of layers.
    assert fused["_foreach_copy_"] <= 3
    assert fused["_to_copy"] <= 4


def test_the_table_shows_kernels_with_and_without_compiled_batch_norm(dataset: Dataset) -> None:
    counted = [step.count("resnet20", precision, dataset) for precision in ("fp32", "bf16")]
    for row in counted:
        assert "native_batch_norm" in row["eager"]
        assert "native_batch_norm" not in row["fused"]
        # Two launches each way for each of the 19 layers.
        assert row["fused"]["clamped_norm"] == row["fused"]["clamped_norm_backward"] == 38
        assert sum(row["fused"].values()) < sum(row["eager"].values())
    assert step.kernel_table(counted).row_count == 2
