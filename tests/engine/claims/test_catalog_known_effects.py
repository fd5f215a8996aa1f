"""Verdicts on effects whose truth is known: those that must come, and those that must not."""

import pytest

from benchmarks.verdicts import simulate
from benchmarks.worlds import SPARSITIES, WORLDS, truth
from engine.claims import Point, evaluate, winning_property
from engine.claims.power import need
from tests.engine.claims.made_runs import gaps, made_overlaps, made_points, only, outcome, world


def test_a_mean_over_opposite_signs_never_says_that_two_do_not_differ() -> None:
    verdict = only("A2", gaps([3.0] * 12, [3.0, -3.0] * 6))
    assert verdict.outcome == "fails"
    assert abs(verdict.effect) < 0.5


def test_one_clear_sparsity_does_not_decide_for_all_others() -> None:
    assert outcome("A1", gaps([-0.1] * 11 + [8.0], [0.0] * 12)) == "fails"
    # The gap is above 0 at every sparsity, but clear at only one of them.
    assert outcome("A1", gaps([0.3] * 11 + [8.0], [0.0] * 12, noise=0.02)) == "fails"


def test_one_clear_sparsity_does_not_decide_for_the_other_of_two() -> None:
    two = [p for p in gaps([0.3] * 11 + [8.0], [0.0] * 12, noise=0.02) if p.sparsity in (0.0, *SPARSITIES[-2:])]
    assert outcome("A1", two) == "fails"
    clear = [p for p in gaps([2.0] * 11 + [8.0], [0.0] * 12, noise=0.02) if p.sparsity in (0.0, *SPARSITIES[-2:])]
    assert outcome("A1", clear) == "holds"


def test_a_fall_at_the_highest_sparsities_alone_fails_c1() -> None:
    points = made_points(world(0.1, finetune=0.5), noise=0.2, sparsities=SPARSITIES)
    fallen = [
        Point(p.dataset, p.network, p.learning_rate, p.seed, p.pruner, p.sparsity, p.start, p.accuracy - 3.5)
        if p.start == "finetune" and p.sparsity > 0.8 and p.learning_rate == 0.1
        else p
        for p in points
    ]
    (low, high) = evaluate(fallen, (), claims=["C1"])
    assert (low.outcome, high.outcome) == ("holds", "fails")
    assert "contradicted at sparsity" in high.reason


def test_the_same_gap_at_both_rates_is_no_difference_between_them() -> None:
    points = gaps([0.75] * 12, [0.75] * 12, dataset="cifar100")
    outcomes = {claim: outcome(claim, points) for claim in ("A1", "A2", "A1+A2", "A4")}
    assert outcomes["A1"] != "holds"
    assert outcomes["A1+A2"] == "fails"
    assert outcomes["A4"] != "holds"


def test_a_contrast_is_paired_by_seed() -> None:
    verdict = only("A1+A2", gaps([3.0] * 12, [0.0] * 12))
    assert (verdict.outcome, verdict.n) == ("holds", 5)
    assert verdict.effect == pytest.approx(3.0, abs=0.3)


def test_weights_that_overlap_no_more_than_their_mask_gives_do_not_remember() -> None:
    assert outcome("F1", made_points(), made_overlaps({0.01: 0.5, 0.1: 0.01}, remembered=0.0)) == "fails"
    assert outcome("F1", made_points(), made_overlaps({0.01: 0.5, 0.1: 0.01}, remembered=0.09)) == "holds"


def test_overlaps_without_the_level_of_their_mask_give_a_missing_verdict() -> None:
    overlaps = made_overlaps({0.01: 0.5, 0.1: 0.01})
    verdict = only("F1", made_points(), [o for o in overlaps if o.level is None])
    assert verdict.outcome == "missing"
    bare = [o.__class__(**{**vars(o), "level": None}) for o in overlaps]
    verdict = only("F1", made_points(), bare)
    assert verdict.outcome == "missing"
    assert "not recorded" in verdict.reason


def test_controls_are_marked_and_change_no_verdict_on_the_papers_pruners() -> None:
    plain = {(v.claim, v.place): v for v in evaluate(made_points(), ())}
    both = evaluate(made_points(pruners=("iterative", "random"), below={"random": 5.0}), ())
    controls = [v for v in both if v.control]
    assert {v.scope["pruner"] for v in controls} == {"random"}
    assert {v.claim for v in controls} == {"A1", "A2", "A1+A2", "A4", "C1", "D1", "E1", "F1", "G1"}
    for verdict in both:
        if not verdict.control and verdict.outcome != "missing":
            assert (verdict.claim, verdict.place) in plain


def moved(points: list[Point], fraction: float, sparsity: float | None = None) -> list[Point]:
    return [
        Point(**{**vars(p), "moved": fraction if sparsity in (None, p.sparsity) else 0.2}) if p.pruner == "admm" else p
        for p in points
    ]


@pytest.mark.parametrize("claim", ["E2", "E3"])
def test_admm_with_the_masks_of_one_shot_pruning_is_not_compared_with_it(claim: str) -> None:
    points = made_points(
        pruners=("iterative", "admm", "oneshot"), below={"iterative": 0.6, "oneshot": 1.2, "admm": 0.0}
    )
    assert outcome(claim, moved(points, 0.1)) == "holds"
    for still in (moved(points, 0.0001), moved(points, 0.009, sparsity=0.6)):
        verdict = only(claim, still)
        assert verdict.outcome == "undecided"
        assert "one pruner would be compared with itself" in verdict.reason
        # No number of seeds changes that.
        assert need(verdict).seeds is None
        assert "one-shot's but for" in need(verdict).why


def test_pruners_of_the_same_mask_are_not_compared() -> None:
    points = made_points(
        pruners=("iterative", "admm", "oneshot"), below={"iterative": 0.0, "oneshot": 1.2, "admm": -0.6}
    )
    same = [
        Point(**{**vars(p), "mask": f"{p.seed}"}) if p.sparsity == 0.3 and p.pruner != "admm" else p for p in points
    ]
    parts = [part for part in only("E2", same).parts if part.scope["against"].endswith("over one-shot magnitude")]
    for part in parts:
        assert "sparsity 30 %" not in [below.scope["sparsity"] for below in part.parts]


def test_a_verdict_without_runs_is_missing_and_not_undecided() -> None:
    dense = [p for p in made_points() if p.start == "dense"]
    outcomes = {v.claim: v.outcome for v in evaluate(dense, ())}
    assert outcomes["A3"] == "holds"
    assert {outcome for claim, outcome in outcomes.items() if claim != "A3"} == {"missing"}


def test_the_winning_property_of_the_table_and_of_a4_have_their_own_intervals() -> None:
    points = gaps([3.0] * 12, [0.0] * 12)
    table = winning_property(points)
    low = only("A4", points).parts[0]
    assert {round(part.level, 4) for row in table for part in row.parts} == {0.95, 0.9}
    assert all(leaf.level > 0.98 for at in low.parts for leaf in at.parts)


# The worst cases of the benchmark, with fewer repetitions: n seeds, and a run's standard deviation in points.
@pytest.mark.parametrize(
    ("name", "seeds", "deviation"),
    [("barely_false", 3, 0.3), ("barely_false", 5, 0.2), ("alone", 3, 0.3), ("uneven", 5, 0.3), ("mask_only", 3, 0.3),
     ("opposite", 3, 0.3), ("equal_pruners", 5, 0.3), ("admm_behind", 3, 0.3)],
)  # fmt: skip
def test_a_verdict_is_seldom_wrong(name: str, seeds: int, deviation: float) -> None:
    _, counts = simulate((name, seeds, deviation), 30)
    for (claim, true), outcomes in counts.items():
        wrong = outcomes["fails" if true else "holds"] / sum(outcomes.values())
        # At an error rate of 5 %, more than 5 wrong verdicts of 30 come once in 300 times.
        assert wrong <= 5 / 30, (claim, true, outcomes)


def test_true_claims_hold_at_the_papers_own_effects_and_design() -> None:
    _, counts = simulate(("paper", 5, 0.2), 25)
    for (claim, true), outcomes in counts.items():
        if true:
            # The design gives 80 %; chance takes some of 25 repetitions.
            assert outcomes["holds"] >= 0.6 * sum(outcomes.values()), (claim, outcomes)


def test_the_truth_of_a_world_follows_from_its_means() -> None:
    verdicts = evaluate(made_points(sparsities=SPARSITIES), made_overlaps({0.01: 0.5, 0.1: 0.01}))
    truths = {v.claim: truth(WORLDS["paper"], v) for v in verdicts if v.claim != "C1"}
    assert all(truths.values())
    assert not truth(WORLDS["mask_only"], next(v for v in verdicts if v.claim == "F1"))
    assert not truth(WORLDS["equal_rates"], next(v for v in verdicts if v.claim == "A4"))
