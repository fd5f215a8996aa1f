import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.overlap import P_GRID, overlap_counts, overlap_ratio, pooled, top_count


def draw(seed: int, **sizes: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def brute_force(a, b, p, mask=None):
    """Count by sets of indices, as the paper's equation reads."""
    shared = total = 0
    for layer in a:
        kept = [i for i in range(a[layer].numel()) if mask is None or mask[layer].flatten()[i]]
        k = top_count(p, len(kept))
        top = [set(sorted(kept, key=lambda i, w=w: (-abs(float(w.flatten()[i])), i))[:k]) for w in (a[layer], b[layer])]
        shared += len(top[0] & top[1])
        total += k
    return shared / total


@given(seed=st.integers(0, 2**16), p=st.sampled_from(P_GRID), masked=st.booleans())
@settings(max_examples=40, deadline=None)
def test_pooled_ratio_equals_a_count_by_sets(seed: int, p: float, masked: bool) -> None:
    a, b = draw(seed, first=40, second=90), draw(seed + 1, first=40, second=90)
    mask = {name: w > -0.3 for name, w in draw(seed + 2, first=40, second=90).items()} if masked else None
    assert overlap_ratio(a, b, p, mask) == pytest.approx(brute_force(a, b, p, mask), abs=1e-12)


@given(seed=st.integers(0, 2**16), p=st.sampled_from(P_GRID))
@settings(max_examples=30, deadline=None)
def test_a_network_overlaps_itself_wholly_whatever_the_ties(seed: int, p: float) -> None:
    weights = {name: w.round() for name, w in draw(seed, first=64, second=30).items()}
    full = {name: torch.where(w == 0, 0.5, w) for name, w in weights.items()}
    assert overlap_ratio(full, full, p) == 1.0


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_independent_weights_overlap_by_p_within_sampling_error(p: float) -> None:
    size = 40_000
    ratio = overlap_ratio(draw(1, layer=size), draw(2, layer=size), p)
    # The shared count is hypergeometric: its deviation over p*N is (1 - p) / sqrt(N).
    assert abs(ratio - p) < 5 * (1 - p) / size**0.5


def test_dense_ratio_by_hand() -> None:
    a = {"w": torch.tensor([[9.0, -8.0], [1.0, 0.5]])}
    b = {"w": torch.tensor([[-7.0, 0.1], [6.0, 0.2]])}
    assert overlap_ratio(a, b, 0.5) == 0.5


def test_the_mask_leaves_only_kept_weights_in_the_ranking() -> None:
    a = {"w": torch.tensor([9.0, 8.0, 3.0, 1.0])}
    b = {"w": torch.tensor([0.0, 0.0, 5.0, 2.0])}
    mask = {"w": torch.tensor([0, 0, 1, 1])}
    assert overlap_ratio(a, b, 0.5, mask) == 1.0


def test_sparse_against_dense_refuses_more_than_is_kept() -> None:
    sparse, dense = draw(3, layer=100), draw(4, layer=100)
    sparse["layer"][50:] = 0
    assert 0 <= overlap_ratio(sparse, dense, 0.5) <= 1
    with pytest.raises(ValueError, match="choose p at most 1 - sparsity"):
        overlap_ratio(sparse, dense, 0.55)
    assert {count.p for count in overlap_counts(sparse, dense, P_GRID)} == {p for p in P_GRID if p <= 0.5}


def test_all_p_from_one_ranking_agree_with_one_at_a_time() -> None:
    a, b = draw(5, first=70, second=31), draw(6, first=70, second=31)
    together = overlap_counts(a, b, P_GRID)
    for p in P_GRID:
        assert pooled(c for c in together if c.p == p) == overlap_ratio(a, b, p)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, float("nan")])
def test_p_outside_its_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="allowed: above 0, at most 1"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=9), p)


def test_unequal_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in these layers: other"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=9, other=3), 0.2)
    with pytest.raises(ValueError, match="shape"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=8), 0.2)


def test_a_layer_too_small_for_its_top_p_says_so() -> None:
    with pytest.raises(ValueError, match="choose a larger p"):
        overlap_ratio(draw(1, layer=4), draw(2, layer=4), 0.05)
