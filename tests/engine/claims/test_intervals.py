import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.claims.intervals import estimates, interval

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_no_values_have_no_mean_and_one_value_has_no_interval() -> None:
    assert interval([], 0.95, 2).mean is None
    alone = interval([3.0], 0.95, 2)
    assert (alone.mean, alone.low, alone.high, alone.n) == (3.0, None, None, 1)


def test_three_values_have_the_interval_of_the_textbook() -> None:
    estimate = interval([1.0, 2.0, 3.0], 0.95, 2)
    assert estimate.high - estimate.mean == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)


def test_many_values_never_fall_below_the_least_width() -> None:
    draw = random.Random(1)
    many = [draw.gauss(0, 1) for _ in range(400)]
    error = statistics.stdev(many) / 20
    assert interval(many, 0.95, 2).high - interval(many, 0.95, 2).mean == pytest.approx(2 * error)
    assert interval(many, 0.95, 0).high - interval(many, 0.95, 0).mean == pytest.approx(1.966 * error, rel=1e-3)


def test_equal_values_have_an_interval_of_no_width() -> None:
    estimate = interval([0.25] * 4, 0.95, 2)
    assert estimate.low == estimate.mean == estimate.high == 0.25


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(some: list[float], order: random.Random) -> None:
    before = interval(some, 0.95, 2)
    order.shuffle(some)
    after = interval(some, 0.95, 2)
    # Correctly rounded sums are the same in any order.
    assert before == after


@given(values)
def test_more_confidence_is_wider_and_holds_the_mean(some: list[float]) -> None:
    usual, sure = interval(some, 0.95, 2), interval(some, 0.999, 2)
    assert sure.low <= usual.low <= usual.mean <= usual.high <= sure.high


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_truth_as_often_as_its_level_states(n: int) -> None:
    draw = random.Random(n)
    tries = 4000
    covered = 0
    for _ in range(tries):
        estimate = interval([draw.gauss(2, 3) for _ in range(n)], 0.95, 2)
        covered += estimate.low <= 2 <= estimate.high
    # The tolerance is three standard errors of a share of 0.95 over this number of tries.
    assert covered / tries == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / tries))


def test_similar_spreads_inform_each_other_and_different_ones_do_not() -> None:
    draw = random.Random(5)
    alike = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(12)]
    moderated = estimates(alike)
    # Each has far more than its own two degrees of freedom, and lies nearer to 1 than its own spread does.
    assert all(estimate.freedom > 10 for estimate in moderated)
    own = [statistics.stdev(sample) for sample in alike]
    assert statistics.pstdev(estimate.deviation for estimate in moderated) < statistics.pstdev(own) / 2
    apart = estimates([[scale * value for value in sample] for scale, sample in zip((1, 30, 900), alike, strict=False)])
    assert [estimate.freedom < 6 for estimate in apart] == [True] * 3
    assert sorted(estimate.deviation for estimate in apart) == [estimate.deviation for estimate in apart]


def test_one_spread_that_stands_out_is_not_made_small() -> None:
    draw = random.Random(5)
    samples = [[draw.gauss(0, 0.1) for _ in range(4)] for _ in range(11)] + [[0.0, 50.0, -50.0, 20.0]]
    *others, last = estimates(samples)
    assert last.deviation > 0.8 * statistics.stdev(samples[-1])
    assert last.freedom < 6
    assert max(estimate.deviation for estimate in others) < 5


def test_samples_that_share_a_run_count_for_fewer_degrees_of_freedom() -> None:
    samples = [[place - 1, place - 0.5, place, place + 0.5, place + 1] for place in range(12)]
    free, half, same = (estimates(samples, shared)[0].freedom for shared in (0.0, 0.5, 1.0))
    assert (free, half, same) == (48, 48 / 3.75, 4)


def test_intervals_of_moderated_spread_cover_the_truth() -> None:
    draw = random.Random(11)
    covered = 0
    for _ in range(300):
        for estimate in estimates([[draw.gauss(3, 1) for _ in range(3)] for _ in range(8)]):
            covered += abs(estimate.mean - 3) <= estimate.half(0.025)
    assert 0.93 <= covered / 2400 <= 0.97


def test_equal_values_beside_others_are_no_certainty() -> None:
    # Accuracies are multiples of one test image, so that three runs may well agree.
    first, *_ = estimates([[1.0, 1.0, 1.0], [0.5, 1.5, 1.1], [0.2, 0.9, 0.4], [2.0, 1.4, 1.6]])
    assert first.deviation > 0.05
