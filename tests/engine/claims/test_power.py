import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.claims import Thresholds
from engine.claims.power import MOST_SEEDS, need
from tests.engine.claims.made_runs import gaps, made_points, only, outcome, world


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_an_undecided_verdict_states_how_many_seeds_would_decide_it(dataset: str) -> None:
    points = gaps([3.0] * 12, [0.0] * 12, noise=0.25 if dataset == "cifar10" else 0.5, dataset=dataset, seeds=3)
    verdict = only("A2", points)
    assert verdict.outcome == "undecided"
    needed = need(verdict)
    assert needed.toward == "holds"
    assert needed.n == 3
    assert needed.now < 0.8
    assert 3 < needed.seeds <= MOST_SEEDS
    # That number of seeds does decide it.
    more = gaps(
        [3.0] * 12, [0.0] * 12, noise=0.25 if dataset == "cifar10" else 0.5, dataset=dataset, seeds=needed.seeds
    )
    assert outcome("A2", more) == "holds"


def test_no_number_of_seeds_decides_an_effect_at_its_margin() -> None:
    points = made_points(world(0.1, dense=90.5), noise=0.2)
    needed = need(only("A3", points))
    assert needed is None or needed.seeds is None or needed.seeds > 20


def test_the_sparsity_that_no_number_of_seeds_decides_is_named() -> None:
    # The first of the differences is 0, all others are large.
    points = gaps([0.0, *([9.0] * 11)], [0.0] * 12, noise=0.2, seeds=3)
    verdict = only("A1", points)
    assert verdict.outcome == "undecided"
    needed = need(verdict)
    assert needed.seeds is None
    assert needed.sentence.endswith(f"too near its margin ({verdict.parts[0].scope['sparsity']}).")


def test_one_seed_needs_the_least_number_of_seeds() -> None:
    needed = need(only("A1", made_points(seeds=1)))
    assert (needed.n, needed.seeds) == (1, 3)


def test_a_decided_or_missing_verdict_needs_no_seeds() -> None:
    assert need(only("A1", made_points())) is None
    assert need(only("E2", made_points())) is None


@given(st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_more_seeds_are_needed_for_a_narrower_margin(number: int) -> None:
    points = gaps([3.0] * 12, [0.0] * 12, noise=0.3 + number % 3 / 10, seeds=3)
    wide, narrow = (need(only("A2", points, thresholds=Thresholds(margin=margin))) for margin in (0.6, 0.4))
    if wide is not None and narrow is not None and {wide.toward, narrow.toward} == {"holds"}:
        assert (narrow.seeds or MOST_SEEDS + 1) >= (wide.seeds or MOST_SEEDS + 1)
