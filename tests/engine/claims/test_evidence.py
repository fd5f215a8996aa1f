import math
import random

from hypothesis import given
from hypothesis import strategies as st

from engine.claims.evidence import Gap, Point, average, difference, finite, groups

ALL = dict.fromkeys(range(5), 1.0)


def gap(*seeds: int, value: float = 1.0) -> Gap:
    return Gap(dict.fromkeys(seeds, value))


def test_a_difference_takes_the_seeds_that_both_have() -> None:
    gap = difference({0: 3.0, 1: 4.0, 2: math.nan, 3: 1.0}, {1: 1.0, 2: 1.0, 3: math.inf, 4: 2.0})
    assert gap.values == {1: 3.0}
    assert (gap.odd, gap.lacking) == ({2, 3}, {0, 4})
    assert gap.note == "2 of 5 seeds have no finite value; 2 of 5 seeds have not every run"
    assert finite(ALL).note == ""


def test_seeds_that_share_no_run_are_all_lacking() -> None:
    gap = difference({0: 1.0, 1: 1.0}, {2: 1.0, 3: 1.0})
    assert not gap.values
    assert gap.lacking == {0, 1, 2, 3}


def test_a_mean_over_differences_takes_the_seeds_that_have_all_of_them() -> None:
    mean, taken = average([Gap({0: 1.0, 1: 2.0, 2: 3.0}), Gap({0: 3.0, 1: 4.0, 2: 5.0, 3: 9.0})], least=3)
    assert (mean.values, taken) == ({0: 2.0, 1: 3.0, 2: 4.0}, 2)
    assert mean.lacking == {3}


def test_a_difference_that_too_few_seeds_have_yet_is_left_out() -> None:
    mean, taken = average([gap(0, 1, 2, 3), gap(0, 1, 2), gap(0)], least=3)
    assert (set(mean.values), taken) == ({0, 1, 2}, 2)


def test_where_few_seeds_have_all_differences_the_mean_is_over_those_common_to_all_seeds() -> None:
    # Every seed has the first difference, and each lacks one of the others.
    mean, taken = average([gap(0, 1, 2, 3), gap(1, 2, 3), gap(0, 2, 3), gap(0, 1, 3), gap(0, 1, 2)], least=3)
    assert (set(mean.values), taken) == ({0, 1, 2, 3}, 1)
    nothing, none = average([gap(1, 2, 3), gap(0, 2, 3), gap(0, 1, 3), gap(0, 1, 2)], least=3)
    assert (nothing.values, none) == ({}, 0)


def test_seeds_without_a_finite_value_are_distinct_from_seeds_without_a_run() -> None:
    mean, _ = average([Gap({0: 1.0, 1: 1.0, 2: 1.0}, frozenset({3}), frozenset({4}))], least=3)
    assert (mean.odd, mean.lacking) == ({3}, {4})


def test_no_differences_have_no_mean() -> None:
    assert average([], least=3) == (Gap({}), 0)
    assert average([Gap({}, odd=frozenset({1}))], least=3) == (Gap({}, odd=frozenset({1})), 0)


@given(st.lists(st.dictionaries(st.integers(0, 5), st.floats(-9, 9), max_size=6), max_size=6), st.integers(2, 4))
def test_a_seed_is_either_counted_or_reported_as_left_out(values: list[dict[int, float]], least: int) -> None:
    mean, taken = average([Gap(some) for some in values], least)
    everyone = set().union(*values) if values else set()
    assert mean.values.keys() | mean.odd | mean.lacking == everyone
    assert not mean.values.keys() & (mean.odd | mean.lacking)
    assert taken <= len(values)


def point(pruner: str, training: str | None, seed: int = 0) -> Point:
    return Point("digits", "lenet300", 0.1, seed, pruner, 0.5, "finetune", 90.0, training)


def test_two_pruners_share_a_training_only_where_both_name_the_same_one() -> None:
    (group,) = groups(
        [
            *(point("iterative", "a"), point("oneshot", "a")),
            *(point("iterative", "b", 1), point("oneshot", "c", 1)),
            *(point("iterative", None, 2), point("oneshot", None, 2)),
        ],
        (),
    )
    assert group.shared(("iterative", "oneshot"), 0.1, 0.5, "finetune") == {0}


def test_groups_and_pruners_are_sorted_by_name_whatever_the_order_of_runs() -> None:
    points = [
        Point(dataset, "lenet300", 0.1, 0, pruner, 0.5, "reinit", 9.0)
        for dataset in ("b", "a")
        for pruner in ("oneshot", "admm")
    ]
    random.Random(2).shuffle(points)
    assert [group.dataset for group in groups(points, ())] == ["a", "b"]
    assert groups(points, ())[0].pruners() == ["admm", "oneshot"]
