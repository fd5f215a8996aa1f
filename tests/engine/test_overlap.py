import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.counts import P_GRID, Count, pooled, pooled_level, top_count
from engine.masks import magnitude_mask
from engine.overlap import mask_alone, overlap_counts, overlap_ratio


def draw(seed: int, **sizes: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def brute_force(a, b, p, mask=None):
    """Return the overlap ratio by sets of indices, as in the paper's equation."""
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


def plain_counts(a, b, ps, mask=None):
    """Return the counts of every layer and p by sets of indices, less each p too large for one."""
    counts, possible = [], set(ps)
    for layer in a:
        kept = [i for i in range(a[layer].numel()) if mask is None or mask[layer].flatten()[i]]
        flat = [[abs(value) for value in network[layer].flatten().tolist()] for network in (a, b)]
        ranks = [sorted(kept, key=lambda i, w=w: (not math.isnan(w[i]), -w[i], i)) for w in flat]
        for p in sorted(ps):
            k = top_count(p, len(kept))
            if mask is None and any(sum(value != 0 for value in w) < k for w in flat):
                possible.discard(p)
            counts.append(Count(layer, p, len(set(ranks[0][:k]) & set(ranks[1][:k])), k, len(kept)))
    return [count for count in counts if count.p in possible]


# Most magnitudes are equal; WITH_ZEROS holds zeros too.
TIED = st.sampled_from([0.25, 0.5, -0.5, 1.0, -1.0, 2.0, math.inf, math.nan])
WITH_ZEROS = st.one_of(TIED, st.sampled_from([0.0, -0.0]))
DRAWN = st.floats(-1, 1, width=32)


@st.composite
def pairs(draw):
    """Draw two networks of one to three layers of 1 to 200 weights, and a mask or None."""
    sizes = draw(st.lists(st.integers(1, 200), min_size=1, max_size=3))
    values = draw(st.sampled_from([TIED, WITH_ZEROS, DRAWN]))

    def network(kind):
        lists = [draw(st.lists(kind, min_size=size, max_size=size)) for size in sizes]
        return {f"layer{i}": torch.tensor(row) for i, row in enumerate(lists)}

    return network(values), network(values), draw(st.none() | st.builds(lambda: network(st.booleans())))


@given(pair=pairs(), ps=st.sets(st.sampled_from((*P_GRID, 0.01, 1.0)), max_size=6))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_counts_with_ties_equal_those_by_sets(pair, ps) -> None:
    assert overlap_counts(*pair[:2], ps, pair[2]) == plain_counts(*pair[:2], ps, pair[2])


@pytest.mark.parametrize("masked", [False, True])
def test_counts_of_large_layers_equal_those_by_sets(masked: bool) -> None:
    sizes = {"large": 70_000, "small": 31}
    a, b = ({name: (w * 200).round() for name, w in draw(seed, **sizes).items()} for seed in (7, 8))
    a["small"] += 500
    b["small"] -= 500
    mask = {name: w > -1.0 for name, w in draw(9, **sizes).items()} if masked else None
    counts = overlap_counts(a, b, P_GRID, mask)
    assert counts == plain_counts(a, b, P_GRID, mask)
    assert len(counts) == 2 * len(P_GRID)


def test_more_p_than_a_byte_can_number_are_counted() -> None:
    a, b = draw(1, layer=2_000), draw(2, layer=2_000)
    many = [round(0.001 * i, 3) for i in range(1, 601)]
    assert overlap_counts(a, b, many) == plain_counts(a, b, many)


@given(seed=st.integers(0, 2**16), p=st.sampled_from(P_GRID))
@settings(max_examples=30, deadline=None)
def test_a_network_with_ties_overlaps_itself_wholly(seed: int, p: float) -> None:
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


def test_only_unpruned_weights_are_ranked_within_a_mask() -> None:
    a = {"w": torch.tensor([9.0, 8.0, 3.0, 1.0])}
    b = {"w": torch.tensor([0.0, 0.0, 5.0, 2.0])}
    mask = {"w": torch.tensor([0, 0, 1, 1])}
    assert overlap_ratio(a, b, 0.5, mask) == 1.0


def test_p_above_the_unpruned_fraction_is_refused() -> None:
    sparse, dense = draw(3, layer=100), draw(4, layer=100)
    sparse["layer"][50:] = 0
    assert 0 <= overlap_ratio(sparse, dense, 0.5) <= 1
    with pytest.raises(ValueError, match="choose p at most 1 - sparsity"):
        overlap_ratio(sparse, dense, 0.55)
    assert {count.p for count in overlap_counts(sparse, dense, P_GRID)} == {p for p in P_GRID if p <= 0.5}


def test_counts_of_all_p_at_once_equal_those_of_each_p() -> None:
    a, b = draw(5, first=70, second=31), draw(6, first=70, second=31)
    counts = overlap_counts(a, b, P_GRID)
    for p in P_GRID:
        assert pooled(c for c in counts if c.p == p) == overlap_ratio(a, b, p)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, float("nan")])
def test_p_outside_its_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="allowed: above 0, at most 1"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=9), p)


def test_unequal_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in these layers: other"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=9, other=3), 0.2)
    with pytest.raises(ValueError, match="shape"):
        overlap_ratio(draw(1, layer=9), draw(2, layer=8), 0.2)


def test_a_layer_too_small_for_its_top_p_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a larger p"):
        overlap_ratio(draw(1, layer=4), draw(2, layer=4), 0.05)


def plain_expected(mask, b, p):
    """Return by layer how many weights a random order within a mask shares with b's top p on average, by sets."""
    expected = {}
    for layer, weights in b.items():
        size = weights.numel()
        k = top_count(p, size)
        values = [abs(value) for value in weights.flatten().tolist()]
        top = set(sorted(range(size), key=lambda i, v=values: (not math.isnan(v[i]), -v[i], i))[:k])
        kept = {i for i in range(size) if mask[layer].flatten()[i]}
        expected[layer] = k * len(kept & top) / len(kept) if kept else 0.0
    return expected


@given(pair=pairs(), ps=st.sets(st.sampled_from((*P_GRID, 0.01, 1.0)), max_size=6), seed=st.integers(0, 2**16))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_expected_counts_with_ties_equal_those_by_sets(pair, ps, seed) -> None:
    a, b, _ = pair
    mask = {name: w > 0 for name, w in draw(seed, **{name: w.numel() for name, w in b.items()}).items()}
    # A file may list its layers in another order than the network.
    mask = dict(reversed(mask.items()))
    sparse = {name: torch.where(mask[name], w, 0.0) for name, w in a.items()}
    counts = overlap_counts(sparse, b, ps, held=mask)
    assert [replace(count, expected=None) for count in counts] == overlap_counts(sparse, b, ps)
    by_sets = {p: plain_expected(mask, b, p) for p in ps}
    alone = mask_alone(mask, b, list(ps))
    for count in counts:
        assert count.expected == by_sets[count.p][count.layer] == alone[count.layer][count.p]
        assert 0 <= count.expected <= count.top


@pytest.mark.parametrize("correlated", [True, False])
def test_the_level_of_a_mask_is_the_mean_overlap_of_random_orders_within_it(correlated: bool) -> None:
    dense = draw(11, first=300, second=80)
    mask = magnitude_mask(dense if correlated else draw(12, first=300, second=80), 0.4)
    generator = torch.Generator().manual_seed(13)
    ratios = []
    for _ in range(400):
        weights = {}
        for layer, kept in mask.items():
            shuffled = torch.zeros(kept.numel())
            shuffled[kept] = 1.0 + torch.randperm(int(kept.sum()), generator=generator)
            weights[layer] = shuffled
        ratios.append(overlap_ratio(weights, dense, 0.3))
    level = pooled_level(overlap_counts(weights, dense, [0.3], held=mask))
    assert level is not None
    mean = sum(ratios) / len(ratios)
    error = (sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1) / len(ratios)) ** 0.5
    assert abs(level - mean) < 4 * error
    assert abs(level - (0.5 if correlated else 0.3)) < (0.001 if correlated else 0.05)


@given(
    seed=st.integers(0, 2**16), sparsity=st.sampled_from([0.2, 0.386, 0.5, 0.62, 0.7]), p=st.sampled_from([0.1, 0.2])
)
@settings(max_examples=30, deadline=None)
def test_a_mask_of_the_largest_weights_has_the_level_p_over_one_minus_sparsity(seed, sparsity, p) -> None:
    dense = draw(seed, first=1000, second=5000)
    mask = magnitude_mask(dense, sparsity)
    counts = overlap_counts({name: dense[name] * kept for name, kept in mask.items()}, dense, [p], held=mask)
    assert pooled_level(counts) == pytest.approx(p / (1 - sparsity))


def test_expected_counts_of_large_layers_equal_those_by_sets() -> None:
    sizes = {"large": 70_000, "small": 31}
    dense = {name: (w * 200).round() for name, w in draw(7, **sizes).items()}
    mask = {name: w > -0.5 for name, w in draw(9, **sizes).items()}
    for count in overlap_counts({n: dense[n] * m + 0.1 * m for n, m in mask.items()}, dense, (0.1, 0.5), held=mask):
        assert count.expected == plain_expected(mask, dense, count.p)[count.layer]


def test_a_pooled_level_is_missing_where_a_count_has_none() -> None:
    some, none = Count("a", 0.2, 1, 2, 10, 1.5), Count("b", 0.2, 1, 2, 10)
    assert pooled_level([some, some]) == 0.75
    assert pooled_level([some, none]) is None
    assert pooled_level([]) is None


def test_a_mask_to_rank_within_and_a_held_mask_exclude_each_other() -> None:
    weights = draw(1, layer=9)
    mask = {"layer": weights["layer"] > 0}
    with pytest.raises(ValueError, match="give mask to rank kept weights only, or held to rank all"):
        overlap_counts(weights, weights, [0.2], mask, mask)
