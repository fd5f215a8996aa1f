import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.claims.evidence import Gap
from engine.claims.questions import Question, Rule, Strictness, Thresholds
from engine.claims.verdict import Verdict, combine, joined, judge, missing

USUAL = Thresholds()
RULES: tuple[Rule, ...] = ("exceeds", "within", "matches", "below")
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
        # The interval lies above 0 and the mean above the margin, but the interval does not clear the margin.
        ("exceeds", [0.4, 0.5, 0.45], "undecided"),
        ("exceeds", [0.6, 0.5, 0.55], "undecided"),
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
        ("below", [0.1, 0.0, -0.1], "holds"),
        ("below", [-9.0, -9.1, -8.9], "holds"),
        ("below", [2.0, 2.1, 1.9], "fails"),
        ("below", [0.9, 0.0, -0.9], "undecided"),
    ],
)
def test_rules_decide_by_interval_and_margin(rule: Rule, values: list[float], outcome: str) -> None:
    assert judged(rule, values).outcome == outcome


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("values", [[9.0], [-9.0, -9.0], [0.0, 0.0]])
def test_too_few_seeds_are_never_decided(rule: Rule, values: list[float]) -> None:
    verdict = judged(rule, values)
    assert (verdict.outcome, verdict.n) == ("undecided", len(values))
    assert "needs 3 seeds" in verdict.reason
    assert judged(rule, [9.0] * 3, thresholds=Thresholds(min_seeds=4)).outcome == "undecided"


@given(seeds, st.sampled_from(RULES))
def test_slack_is_positive_only_where_the_claim_holds(values: list[float], rule: Rule) -> None:
    verdict = judged(rule, values)
    assert (verdict.slack > 0) <= (verdict.outcome == "holds")
    if verdict.outcome != "holds":
        assert verdict.slack <= 0


@given(seeds, st.sampled_from(RULES), st.floats(1, 5))
def test_more_noise_around_one_mean_never_decides_what_was_undecided(
    values: list[float], rule: Rule, factor: float
) -> None:
    mean = math.fsum(values) / len(values)
    noisy = [mean + factor * (value - mean) for value in values]
    before, after = judged(rule, values), judged(rule, noisy)
    # Rounding moves a bound that lies exactly on a margin.
    if before.outcome == "undecided" and abs(before.slack) > 1e-6 and factor > 1 + 1e-6:
        assert after.outcome == "undecided"


@given(seeds)
def test_no_values_both_exceed_and_lie_within_the_margin(values: list[float]) -> None:
    assert [judged(rule, values).outcome for rule in ("exceeds", "within")] != ["holds", "holds"]


@given(seeds)
def test_within_ignores_the_sign_of_the_difference(values: list[float]) -> None:
    assert judged("within", values).outcome == judged("within", [-value for value in values]).outcome


def test_the_reason_counts_the_seeds_left_out() -> None:
    question = Question("one minus the other", "exceeds", 0.5)
    gap = Gap({0: 2.0, 1: 2.1, 2: 1.9}, odd=frozenset({3, 4}), lacking=frozenset({5}))
    verdict = judge("A1", {}, question, gap, USUAL)
    assert verdict.outcome == "holds"
    assert "2 of 6 seeds have no finite value; 1 of 6 seeds has not every run" in verdict.reason


def part(rule: Rule, values: list[float], name: str) -> Verdict:
    question = Question(name, rule, 0.5)
    return judge("G1", {"against": name}, question, Gap(dict(enumerate(values))), USUAL)


def test_all_needs_every_part_and_names_the_decisive_one() -> None:
    wide, close = part("exceeds", [9.0, 9.1, 8.9], "wide"), part("exceeds", [1.0, 1.1, 0.9], "close")
    fails, open_ = part("exceeds", [-3.0, -3.1, -2.9], "fails"), part("exceeds", [5.0, 0.0, -2.0], "open")
    held = combine("G1", {}, [wide, close], "Both.")
    assert (held.outcome, held.effect) == ("holds", close.effect)
    assert "the closest, close" in held.reason
    assert combine("G1", {}, [wide, open_], "Both.").effect == open_.effect
    lost = combine("G1", {}, [open_, fails, wide], "All.")
    assert (lost.outcome, lost.effect) == ("fails", fails.effect)
    gone = missing("G1", {"against": "gone"}, "points", "", "no runs")
    lacking = combine("G1", {}, [wide, gone, open_], "All.")
    assert (lacking.outcome, lacking.effect, lacking.reason) == ("missing", None, "gone: no runs")


def test_any_holds_where_one_part_does_and_fails_where_all_do() -> None:
    holds, open_ = part("exceeds", [9.0, 9.1, 8.9], "holds"), part("exceeds", [5.0, 0.0, -2.0], "open")
    fails, worse = part("exceeds", [-3.0, -3.1, -2.9], "fails"), part("exceeds", [-9.0, -9.1, -8.9], "worse")
    assert joined([holds, fails], "any") == "holds"
    assert joined([open_, fails], "any") == "undecided"
    lost = combine("A4", {}, [worse, fails], "Any.", "any")
    assert (lost.outcome, lost.effect) == ("fails", fails.effect)
    assert combine("A4", {}, [fails, holds], "Any.", "any").slack == holds.slack


def test_the_closest_part_has_the_least_slack_not_the_smallest_effect() -> None:
    # A small negative effect in the middle of its margins has more slack than a larger one near the edge.
    middle, edge = part("within", [-0.1, -0.1, -0.1], "middle"), part("within", [0.4, 0.4, 0.4], "edge")
    assert combine("A2", {}, [middle, edge], "Both.").effect == edge.effect


def test_a_claim_decided_by_one_of_many_comparisons_asks_more_of_each() -> None:
    clear, below = Gap({0: 1.2, 1: 1.6, 2: 1.4}), Gap({0: -0.3, 1: 0.1, 2: -0.1})
    question = Question("one minus the other", "exceeds", 0.5)
    for gap, once, often in (
        (clear, Strictness(), Strictness(holds=12)),
        (below, Strictness(), Strictness(fails=12)),
    ):
        assert judge("A1", {}, question, gap, USUAL, once).outcome != "undecided"
        assert judge("A1", {}, question, gap, USUAL, often).outcome == "undecided"
    # The interval in the verdict is the one that decides.
    assert judge("A1", {}, question, clear, USUAL, Strictness(holds=12)).level > 0.99


def test_the_interval_in_the_reason_has_the_verdicts_level() -> None:
    assert judged("exceeds", [1.0, 2.0, 3.0]).level == pytest.approx(0.95)
    assert judged("within", [1.0, 2.0, 3.0]).level == pytest.approx(0.9)
    assert "95 % interval" in judged("exceeds", [1.0, 2.0, 3.0]).reason
    assert "90 % interval" in judged("within", [1.0, 2.0, 3.0]).reason


def test_thresholds_are_validated_and_described() -> None:
    for values in ({"min_seeds": 1}, {"confidence": 1.0}, {"margin": -1.0}, {"unknown": 3}):
        with pytest.raises(ValidationError):
            Thresholds.model_validate(values)
    for name, field in Thresholds.model_fields.items():
        assert field.description, name
    assert USUAL.margin_on("cifar100") == 1.0
    assert USUAL.margin_on("digits") == USUAL.margin_on("cifar10") == 0.5
