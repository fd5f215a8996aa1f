import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.study.rounds import TOLERANCE, between, described, pruned_to, removed, rounds

PAPER = tuple(round(1 - 0.85**i + 1e-9, 3) for i in range(1, 13))
NAMED = (0.386, 0.623, 0.803, 0.858)
SPARSITIES = st.lists(st.floats(0.01, 0.999), min_size=1, max_size=6, unique=True).map(sorted)
RATES = st.floats(0.02, 0.9)


def flat(sparsities: list[float] | tuple[float, ...], rate: float | None) -> list[float]:
    return [sparsity for leading in rounds(sparsities, rate) for sparsity in leading]


def test_the_papers_four_sparsities_are_reached_by_its_twelve_rounds() -> None:
    assert tuple(flat(NAMED, 0.15)) == PAPER
    assert [len(leading) for leading in rounds(NAMED, 0.15)] == [3, 3, 4, 2]


@pytest.mark.parametrize("rate", [0.1, 0.15, 0.2, 0.3, 0.5])
def test_sparsities_that_are_rounds_of_the_rate_in_three_digits_are_one_round_each(rate: float) -> None:
    powers = [i for i in range(1, 40) if rate * (1 - rate) ** i > 0.005]
    listed = [round(1 - (1 - rate) ** i + 1e-9, 3) for i in powers]
    assert flat(listed, rate) == listed


def test_without_a_rate_each_sparsity_is_a_round() -> None:
    assert rounds(NAMED, None) == tuple((sparsity,) for sparsity in NAMED)
    assert between(NAMED, None) == 0


@given(SPARSITIES, RATES)
def test_rounds_reach_the_listed_sparsities_and_remove_no_more_than_the_rate(listed, rate) -> None:
    planned = rounds(listed, rate)
    assert [leading[-1] for leading in planned] == listed
    sparsities = [0.0, *flat(listed, rate)]
    assert sparsities == sorted(set(sparsities))
    for leading, before in zip(planned, [0.0, *listed], strict=False):
        survival = ((1 - leading[-1]) / (1 - before)) ** (1 / len(leading))
        steps = [removed(a, b) for a, b in zip((before, *leading), leading, strict=False)]
        # Rounding moves a sparsity by a twentieth of a step at most.
        assert max(steps) <= max(rate * (1 + TOLERANCE), 1 - survival) * 1.11
        if len(leading) > 1:
            fewer = 1 - ((1 - leading[-1]) / (1 - before)) ** (1 / (len(leading) - 1))
            assert fewer > rate * 0.9


@given(SPARSITIES, RATES)
def test_the_number_of_rounds_in_between_equals_their_list(listed, rate) -> None:
    assert between(listed, rate) == len(flat(listed, rate)) - len(listed)


@given(st.sampled_from([NAMED, (0.3, 0.5, 0.7), (0.5, 0.9, 0.95)]), st.integers(1, 3))
def test_fewer_of_the_papers_sparsities_give_the_same_rounds(listed, first) -> None:
    some = [sparsity for index, sparsity in enumerate(PAPER) if index % first == 0]
    assert flat(some, 0.15) == list(PAPER[: PAPER.index(some[-1]) + 1])
    assert flat(listed, 0.15)[: len(rounds(listed, 0.15)[0])] == flat(listed[:1], 0.15)


def test_rounds_of_extreme_rates_are_counted_without_a_list() -> None:
    assert between([0.5], 1e-6) > 100_000
    assert between([0.5], 1e-320) > 100_000
    assert between([0.5, 0.9], 1 - 1e-12) == 0


def test_pruners_that_are_not_gradual_have_no_rounds() -> None:
    assert list(pruned_to(NAMED, 0.15, gradual=False)) == [((sparsity,), True) for sparsity in NAMED]
    gradual = list(pruned_to(NAMED, 0.15, gradual=True))
    assert [reached[-1] for reached, is_listed in gradual if is_listed] == list(NAMED)
    assert gradual[-1][0] == PAPER


def test_the_description_states_what_each_round_removes() -> None:
    assert described(NAMED, 0.15) == (
        "38.6 % in 3 rounds of 15 %; 62.3 % in 3 rounds of 15 %; 80.3 % in 4 rounds of 15 %; 85.8 % in 2 rounds of 15 %"
    )
    assert described(NAMED, None) == (
        "one round each: 38.6 % removes 38.6 % of what is left; 62.3 % removes 38.6 %; 80.3 % removes 47.7 %; "
        "85.8 % removes 27.9 %: the paper removes 15 %"
    )
    assert "paper" not in described(PAPER, None)
    assert described([0.3, 0.5], 0.15) == "30 % in 3 rounds of 11.2 %; 50 % in 3 rounds of 10.6 %"
