import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.masks import kept_count, magnitude_mask
from engine.ranking import ranked

# Few values, so that most magnitudes are equal; the last are the least that a float holds, and what training can ruin.
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-45, -1e-45, 3e38, math.inf, -math.inf, math.nan]
# PyTorch sorts so many by radix, and fewer by comparing.
LARGE = 70_000


def plain(weights: torch.Tensor) -> list[int]:
    """Rank as the docstring reads, by Python's own sort."""
    magnitudes = [abs(value) for value in weights.flatten().tolist()]
    return sorted(range(len(magnitudes)), key=lambda i: (not math.isnan(magnitudes[i]), -magnitudes[i], i))


def strange(size: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Draw from many values and the strange few."""
    draws = torch.Generator().manual_seed(seed)
    normal = torch.randn(size, generator=draws, dtype=torch.float64)
    few = torch.tensor(VALUES, dtype=torch.float64)[torch.randint(len(VALUES), (size,), generator=draws)]
    return torch.where(torch.rand(size, generator=draws) < 0.5, normal, few).to(dtype)


@given(arrays.arrays(np.float32, st.integers(0, 200), elements=st.sampled_from([np.float32(v) for v in VALUES])))
@settings(max_examples=100, deadline=None)
def test_equal_magnitudes_rank_by_position(values: np.ndarray) -> None:
    assert ranked(torch.from_numpy(values)).tolist() == plain(torch.from_numpy(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [200, LARGE])
def test_every_float_ranks_as_python_ranks_it(dtype: torch.dtype, size: int) -> None:
    weights = strange(size, dtype).view(2, -1)
    assert ranked(weights).tolist() == plain(weights)


def test_whole_numbers_are_told_apart_that_a_short_float_cannot() -> None:
    assert ranked(torch.tensor([2**24, 2**24 + 1, -(2**24) - 2])).tolist() == [2, 1, 0]


def test_all_patterns_of_nan_are_equal() -> None:
    patterns = torch.tensor([0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x7F800000], dtype=torch.int32).view(torch.float32)
    assert ranked(torch.cat([patterns, -patterns])).tolist() == [0, 1, 2, 4, 5, 6, 3, 7]


def test_ranking_leaves_the_weights_alone() -> None:
    weights = torch.tensor([-3.0, math.nan, 2.0], requires_grad=True)
    assert ranked(weights).tolist() == [1, 0, 2]
    assert weights[::2].tolist() == [-3.0, 2.0]


@given(
    arrays.arrays(np.float32, st.integers(2, 200), elements=st.sampled_from([np.float32(v) for v in VALUES])),
    st.floats(0.0, 0.99),
    st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_a_mask_keeps_the_first_of_the_plain_ranking(values: np.ndarray, sparsity: float, seed: int) -> None:
    weights = torch.from_numpy(values)
    count = kept_count(sparsity, len(values))
    mask = magnitude_mask({"w": weights}, sparsity)["w"]
    assert set(mask.nonzero().flatten().tolist()) == set(plain(weights)[:count])
    # What the mask before keeps, among which alone the next one chooses.
    kept = strange(len(values), torch.float32, seed) > 0
    kept[plain(weights)[-count:] if count else []] = True
    within = [i for i in plain(weights) if kept[i]]
    mask = magnitude_mask({"w": weights}, sparsity, within={"w": kept})["w"]
    assert set(mask.nonzero().flatten().tolist()) == set(within[:count])
