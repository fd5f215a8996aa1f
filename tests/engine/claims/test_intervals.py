import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.claims.intervals import interval

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_nothing_has_no_mean_and_one_value_no_interval() -> None:
    assert interval([], 0.95, 2).mean is None
    alone = interval([3.0], 0.95, 2)
    assert (alone.mean, alone.low, alone.high, alone.n) == (3.0, None, None, 1)


def test_three_values_have_the_interval_of_the_textbook() -> None:
    found = interval([1.0, 2.0, 3.0], 0.95, 2)
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)


def test_many_values_never_fall_below_the_least_width() -> None:
    draw = random.Random(1)
    many = [draw.gauss(0, 1) for _ in range(400)]
    error = statistics.stdev(many) / 20
    assert interval(many, 0.95, 2).high - interval(many, 0.95, 2).mean == pytest.approx(2 * error)
    assert interval(many, 0.95, 0).high - interval(many, 0.95, 0).mean == pytest.approx(1.966 * error, rel=1e-3)


def test_equal_values_leave_no_doubt() -> None:
    found = interval([0.25] * 4, 0.95, 2)
    assert found.low == found.mean == found.high == 0.25


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
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    draw = random.Random(n)
    tries = 4000
    covered = 0
    for _ in range(tries):
        found = interval([draw.gauss(2, 3) for _ in range(n)], 0.95, 2)
        covered += found.low <= 2 <= found.high
    # Three standard errors of a share of 0.95 over so many tries.
    assert covered / tries == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / tries))
