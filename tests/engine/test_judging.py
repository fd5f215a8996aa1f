import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.evidence import Gap
from engine.judging import Question, Rule, Thresholds, Verdict, all_of, judge, undecided

USUAL = Thresholds()
RULES: tuple[Rule, ...] = ("exceeds", "within", "matches", "reaches")
seeds = st.lists(st.floats(-5, 5), min_size=3, max_size=8)


def judged(rule: Rule, values: list[float], margin: float = 0.5, thresholds: Thresholds = USUAL) -> Verdict:
    question = Question("one minus the other", rule, margin)
    return judge("A1", {}, question, Gap(dict(enumerate(values))), thresholds)


@pytest.mark.parametrize(
    ("rule", "values", "outcome"),
    [
        ("exceeds", [2.0, 2.1, 1.9], "holds"),
        ("exceeds", [0.1, 0.0, -0.1], "fails"),
        ("exceeds", [-2.0, -2.1, -1.9], "fails"),
        ("exceeds", [3.0, 0.0, -1.0], "undecided"),
        # Above 0 beyond doubt, and yet no clear gap either way.
        ("exceeds", [0.4, 0.5, 0.45], "undecided"),
        ("exceeds", [0.5, 0.5, 0.5], "undecided"),
        ("within", [0.1, 0.0, -0.1], "holds"),
        ("within", [2.0, 2.1, 1.9], "fails"),
        ("within", [-2.0, -2.1, -1.9], "fails"),
        ("within", [0.9, 0.0, -0.9], "undecided"),
        ("within", [0.0, 0.0, 0.0], "holds"),
        ("within", [0.5, 0.5, 0.5], "undecided"),
        ("matches", [-0.1, 0.0, 0.1], "holds"),
        ("matches", [7.0, 8.0, 9.0], "holds"),
        ("matches", [-2.0, -2.1, -1.9], "fails"),
        ("matches", [-1.5, 0.0, 1.0], "undecided"),
        ("reaches", [0.0, 0.0, 0.0], "holds"),
        ("reaches", [-0.1, -0.1, -0.1], "fails"),
        ("reaches", [0.0, 0.0, 0.1], "undecided"),
    ],
)
def test_a_rule_decides_what_its_sentence_says(rule: Rule, values: list[float], outcome: str) -> None:
    assert judged(rule, values).outcome == outcome


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("values", [[], [9.0], [-9.0, -9.0], [0.0, 0.0]])
def test_fewer_seeds_than_it_takes_are_never_decided(rule: Rule, values: list[float]) -> None:
    verdict = judged(rule, values)
    assert (verdict.outcome, verdict.n) == ("undecided", len(values))
    assert "it takes 3" in verdict.reason
    assert judged(rule, [9.0] * 3, thresholds=Thresholds(min_seeds=4)).outcome == "undecided"


@given(seeds, st.sampled_from(RULES))
def test_room_is_what_holding_needs(values: list[float], rule: Rule) -> None:
    verdict = judged(rule, values)
    assert (verdict.room > 0) <= (verdict.outcome == "holds")
    if verdict.outcome != "holds":
        assert verdict.room <= 0


@given(seeds, st.sampled_from(RULES), st.floats(1, 5))
def test_more_noise_around_one_mean_never_decides_what_was_undecided(
    values: list[float], rule: Rule, factor: float
) -> None:
    mean = math.fsum(values) / len(values)
    noisy = [mean + factor * (value - mean) for value in values]
    before, after = judged(rule, values), judged(rule, noisy)
    # Rounding moves a bound that lies exactly on a margin.
    if before.outcome == "undecided" and abs(before.room) > 1e-6 and factor > 1 + 1e-6:
        assert after.outcome == "undecided"


@given(seeds)
def test_what_exceeds_does_not_also_lie_within(values: list[float]) -> None:
    assert [judged(rule, values).outcome for rule in ("exceeds", "within")] != ["holds", "holds"]


@given(seeds)
def test_within_is_the_same_both_ways_round(values: list[float]) -> None:
    assert judged("within", values).outcome == judged("within", [-value for value in values]).outcome


def test_seeds_left_out_are_told() -> None:
    question = Question("one minus the other", "exceeds", 0.5)
    gap = Gap({0: 2.0, 1: 2.1, 2: 1.9}, odd=frozenset({3, 4}), lacking=frozenset({5}))
    verdict = judge("A1", {}, question, gap, USUAL)
    assert verdict.outcome == "holds"
    assert "2 of 6 seeds have no finite value; 1 of 6 seeds has not every run" in verdict.reason


def part(rule: Rule, values: list[float], name: str) -> Verdict:
    question = Question(name, rule, 0.5)
    return judge("G1", {"against": name}, question, Gap(dict(enumerate(values))), USUAL)


def test_all_hold_or_one_fails_or_it_is_undecided_and_the_decisive_part_is_told() -> None:
    wide, close = part("exceeds", [9.0, 9.1, 8.9], "wide"), part("exceeds", [1.0, 1.1, 0.9], "close")
    fails, open_ = part("exceeds", [-3.0, -3.1, -2.9], "fails"), part("exceeds", [5.0, 0.0, -2.0], "open")
    held = all_of("G1", {}, [wide, close], "Both.")
    assert (held.outcome, held.effect) == ("holds", close.effect)
    assert "the closest, close" in held.reason
    assert all_of("G1", {}, [wide, open_], "Both.").effect == open_.effect
    lost = all_of("G1", {}, [open_, fails, wide], "All.")
    assert (lost.outcome, lost.effect) == ("fails", fails.effect)
    missing = all_of("G1", {}, [wide, undecided("G1", {"against": "gone"}, "points", "", "no runs"), open_], "All.")
    assert (missing.outcome, missing.effect, missing.reason) == ("undecided", None, "gone: no runs")


def test_the_closest_part_is_the_one_with_least_room_not_the_smallest_effect() -> None:
    # A negative effect in the middle of its margins is further from the edge than a positive one beside it.
    middle, edge = part("within", [-0.1, -0.1, -0.1], "middle"), part("within", [0.4, 0.4, 0.4], "edge")
    assert all_of("A2", {}, [middle, edge], "Both.").effect == edge.effect


def test_thresholds_are_checked_and_say_where_they_come_from() -> None:
    for given_values in ({"min_seeds": 1}, {"confidence": 1.0}, {"clear": -1.0}, {"unknown": 3}):
        with pytest.raises(ValidationError):
            Thresholds.model_validate(given_values)
    for name, field in Thresholds.model_fields.items():
        assert field.description, name
    assert USUAL.similar_on("cifar100") == 1.0
    assert USUAL.similar_on("digits") == USUAL.similar_on("cifar10") == 0.5


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_told_with_its_margin_confidence_and_seeds(rule: Rule) -> None:
    told = Question("one minus the other", rule, 0.25).told(USUAL)
    assert "One minus the other" in told
    assert ("0.25 points" in told) == (rule != "reaches")
    assert "0.95" in told
    assert "fewer than 3 seeds" in told
