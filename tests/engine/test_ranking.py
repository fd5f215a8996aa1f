import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.counts import kept_count
from engine.masks import magnitude_mask
from engine.ranking import FEW, levels

# Most magnitudes drawn from these few values are equal; the last ones are extremes of a float.
VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-45, -1e-45, 3e38, math.inf, -math.inf, math.nan]
# A layer of this size is counted in bins before it is sorted.
LARGE = FEW + 2_000


def plain(weights: torch.Tensor) -> list[int]:
    """Return the positions of weights by falling magnitude, ranked by Python's own sort."""
    magnitudes = [abs(value) for value in weights.flatten().tolist()]
    return sorted(range(len(magnitudes)), key=lambda i: (not math.isnan(magnitudes[i]), -magnitudes[i], i))


def plain_levels(weights: torch.Tensor, tops: list[int]) -> list[int]:
    """Return for each weight how many of the tops it does not belong to."""
    missed = [0] * weights.numel()
    for place, position in enumerate(plain(weights)):
        missed[position] = sum(top <= place for top in tops)
    return missed


def every_tenth(size: int) -> list[int]:
    return [size * tenth // 10 for tenth in range(11)]


def strange(size: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Return weights drawn half from a normal distribution and half from VALUES."""
    draws = torch.Generator().manual_seed(seed)
    normal = torch.randn(size, generator=draws, dtype=torch.float64)
    few = torch.tensor(VALUES, dtype=torch.float64)[torch.randint(len(VALUES), (size,), generator=draws)]
    return torch.where(torch.rand(size, generator=draws) < 0.5, normal, few).to(dtype)


FEW_VALUES = arrays.arrays(np.float32, st.integers(1, 200), elements=st.sampled_from([np.float32(v) for v in VALUES]))


@pytest.mark.parametrize("few", [0, FEW])
@given(values=FEW_VALUES, tenths=st.sets(st.integers(0, 10)))
@settings(max_examples=100, deadline=None)
def test_weights_of_equal_magnitude_rank_by_position(few: int, values: np.ndarray, tenths: set[int]) -> None:
    weights = torch.from_numpy(values)
    tops = sorted(len(values) * tenth // 10 for tenth in tenths)
    with pytest.MonkeyPatch.context() as patch:
        # Layers larger than FEW are counted in bins before they are sorted.
        patch.setattr("engine.ranking.FEW", few)
        assert levels(weights, tops).tolist() == plain_levels(weights, tops)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [200, LARGE])
def test_every_float_ranks_as_python_ranks_it(dtype: torch.dtype, size: int) -> None:
    weights = strange(size, dtype).view(2, -1)
    tops = every_tenth(size)
    assert levels(weights, tops).tolist() == plain_levels(weights, tops)


@pytest.mark.parametrize("kind", ["normal", "pruned", "all equal", "close"])
def test_many_weights_rank_as_python_ranks_them(kind: str) -> None:
    weights = torch.randn(LARGE, generator=torch.Generator().manual_seed(3))
    weights = {
        "normal": weights,
        "pruned": torch.where(weights.abs() > 1.2, weights, 0.0),
        "all equal": torch.ones(LARGE),
        # All weights fall into one bin.
        "close": 1 + weights * 1e-6,
    }[kind]
    for tops in (every_tenth(LARGE), [], [0], [1], [LARGE - 1], [LARGE], [500, 500, 501]):
        assert levels(weights, tops).tolist() == plain_levels(weights, tops)


def test_more_tops_than_a_byte_can_number_are_ranked() -> None:
    weights = strange(LARGE, torch.float32)
    tops = list(range(0, LARGE, 200))
    assert len(tops) > 256
    assert levels(weights, tops).tolist() == plain_levels(weights, tops)


def test_integers_beyond_the_precision_of_fp32_are_distinct() -> None:
    assert levels(torch.tensor([2**24, 2**24 + 1, -(2**24) - 2]), [1, 2]).tolist() == [2, 1, 0]


def test_all_patterns_of_nan_are_equal() -> None:
    patterns = torch.tensor([0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0x7F800000], dtype=torch.int32).view(torch.float32)
    assert levels(torch.cat([patterns, -patterns]), list(range(1, 8))).tolist() == [0, 1, 2, 6, 3, 4, 5, 7]


def test_ranking_does_not_change_the_weights() -> None:
    weights = torch.tensor([-3.0, math.nan, 2.0], requires_grad=True)
    assert levels(weights, [1, 2]).tolist() == [1, 0, 2]
    assert weights[::2].tolist() == [-3.0, 2.0]


@given(FEW_VALUES, st.floats(0.0, 0.99), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_a_mask_keeps_the_first_of_the_plain_ranking(values: np.ndarray, sparsity: float, seed: int) -> None:
    weights = torch.from_numpy(values)
    count = kept_count(sparsity, len(values))
    mask = magnitude_mask({"w": weights}, sparsity)["w"]
    assert set(mask.nonzero().flatten().tolist()) == set(plain(weights)[:count])
    # The next mask chooses among the weights that the mask before it keeps.
    before = strange(len(values), torch.float32, seed) > 0
    before[plain(weights)[-count:] if count else []] = True
    within = [i for i in plain(weights) if before[i]]
    mask = magnitude_mask({"w": weights}, sparsity, within={"w": before})["w"]
    assert set(mask.nonzero().flatten().tolist()) == set(within[:count])
