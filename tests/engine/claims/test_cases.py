import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.claims import OverlapPoint, Point, evaluate, winning_property
from tests.engine.claims.made_runs import PAPER, made_overlaps, made_points, only, outcome, world

THREE = ("iterative", "admm", "oneshot")


def test_sparsities_that_cannot_tell_pruners_apart_leave_their_reach_undecided() -> None:
    everywhere = only("E3", made_points(pruners=THREE))
    assert everywhere.outcome == "undecided"
    assert "matches dense up to sparsity 80 %, the highest" in everywhere.reason
    nowhere = only("E3", made_points(world(0.1, finetune=-5.0), pruners=THREE))
    assert nowhere.outcome == "undecided"
    assert "does not match dense at sparsity 30 %" in nowhere.reason


def sink(points: list[Point], pruner: str, above: float, seeds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[Point]:
    """Return points whose fine-tuning lies far below dense under a pruner, above a sparsity."""
    return [
        replace(p, accuracy=p.accuracy - 9)
        if (p.pruner, p.start) == (pruner, "finetune") and p.sparsity > above and p.seed in seeds
        else p
        for p in points
    ]


def test_the_reach_of_admm_is_compared_with_each_of_the_others() -> None:
    points = made_points(pruners=THREE)
    ahead = only("E3", sink(sink(points, "iterative", 0.3), "oneshot", 0.6))
    assert ahead.outcome == "holds"
    assert {part.scope["against"] for part in ahead.parts} == {
        "ADMM over iterative magnitude",
        "ADMM over one-shot magnitude",
    }
    # The straight line from the gap at 60 % to the gap at 80 % crosses the margin a little above 60 %.
    closest = min(part.effect for part in ahead.parts)
    assert closest == pytest.approx(0.18, abs=0.01)
    # Pruners of equal reach stay undecided, whichever of them is luckier.
    level = sink(sink(sink(points, "admm", 0.6), "iterative", 0.6), "oneshot", 0.3)
    assert only("E3", level).outcome == "undecided"
    assert outcome("E3", sink(points, "admm", 0.3)) == "fails"
    # The claim does not hold where ADMM is behind in some seeds and ahead in none, however small the mean.
    assert outcome("E3", sink(points, "admm", 0.6, seeds=(0,))) == "undecided"
    assert outcome("E3", [p for p in points if p.pruner != "admm"]) == "missing"


def test_a_diverged_run_takes_its_seed_out_of_the_reach() -> None:
    points = sink(made_points(pruners=THREE), "iterative", 0.3)
    bad = [replace(p, accuracy=math.nan) if (p.start, p.seed) == ("dense", 1) else p for p in points]
    assert only("E3", bad).n == 4
    assert "1 of 5 seeds has no finite value" in only("E3", bad).reason


def test_a_diverged_run_does_not_end_the_reach_of_its_pruner() -> None:
    # Fine-tuning of one seed diverged under a pruner other than ADMM.
    points = sink(made_points(pruners=THREE), "iterative", 0.3)
    for pruner in ("iterative", "oneshot"):
        bad = [
            replace(p, accuracy=math.nan)
            if (p.pruner, p.start, p.seed, p.sparsity) == (pruner, "finetune", 1, 0.8)
            else p
            for p in points
        ]
        assert min(part.n for part in only("E3", bad).parts) == 4
    # Where all other runs match dense at every sparsity, a diverged run does not decide between the pruners.
    level = [
        replace(p, accuracy=math.nan) if (p.pruner, p.start, p.seed) == ("oneshot", "finetune", 1) else p
        for p in made_points(pruners=THREE)
    ]
    assert only("E3", level).outcome == "undecided"
    assert "do not tell the pruners apart" in only("E3", level).reason


@pytest.mark.parametrize("claim", ["A3", "A4", "B1", "D1"])
@pytest.mark.parametrize(("rate", "which"), [(0.1, "low"), (0.02, "high")])
def test_claims_about_two_rates_are_undecided_with_one_and_say_which_is_missing(
    claim: str, rate: float, which: str
) -> None:
    # The rate that is there has overlaps far above p and a dense network as good as can be.
    verdict = only(claim, made_points({rate: PAPER[0.1]}), made_overlaps({rate: 0.4}))
    assert verdict.outcome == "missing"
    assert verdict.reason == f"no runs at a {which} learning rate"
    if claim != "A3":
        assert verdict.parts


def test_the_low_rate_lies_below_the_high_one() -> None:
    with pytest.raises(ValueError, match=r"0\.1, must lie below the high one, 0\.1"):
        evaluate(made_points(), (), low=0.1, high=0.1)
    # Where one rate alone is given, it does not count as the other rate too.
    assert only("A3", made_points(), low=0.1).reason == "no runs at a high learning rate"
    assert only("A3", made_points(), high=0.01).reason == "no runs at a low learning rate"


def test_a_missing_verdict_names_the_runs_it_lacks() -> None:
    points = [p for p in made_points() if p.start != "reinit"]
    assert only("A1", points).reason == "no run of random reinit at learning rate 0.01 has finished"
    assert "random reinit" in only("A4", points).reason
    assert "no run of fine-tune under ADMM" in only("E2", made_points(pruners=("iterative", "oneshot"))).reason
    assert (
        only("E3", points).reason
        == "fine-tune has finished under iterative magnitude only; needs ADMM and another pruner"
    )
    assert "no overlap" in only("F1", points).reason


def test_a_study_in_training_states_which_sparsities_are_decided_and_which_are_open() -> None:
    unfinished = [p for p in made_points() if p.sparsity < 0.8 or p.seed == 0]
    verdict = only("A1", unfinished)
    # A claim about all sparsities is open until all of them have finished.
    assert (verdict.outcome, verdict.n) == ("undecided", 5)
    assert "mean over 2 of 3 sparsities" in verdict.reason
    assert "shown above 0 points at 2 of 3 sparsities; open" in verdict.reason
    assert [part.outcome for part in verdict.parts[:3]] == ["holds", "holds", "undecided"]


def test_a_training_is_not_compared_with_itself() -> None:
    points = made_points(pruners=THREE, below={"iterative": 0.0, "oneshot": 1.2, "admm": -0.6})
    first = [
        replace(p, training=f"{p.start} {p.seed} {p.learning_rate}") if p.sparsity == 0.3 and p.pruner != "admm" else p
        for p in points
    ]
    pruning = [
        part
        for part in only("E2", first).parts
        if part.scope["against"].endswith("iterative magnitude over one-shot magnitude")
    ]
    assert len(pruning) == 2
    for part in pruning:
        assert [below.scope["sparsity"] for below in part.parts[:-1]] == ["sparsity 60 %", "sparsity 80 %"]
    alone = [p for p in first if p.sparsity == 0.3]
    assert "have no sparsity in common at which their masks differ" in only("E2", alone).reason


def test_ancestors_are_compared_at_one_p_where_more_than_p_of_the_weights_remain() -> None:
    places = [("finetuned_pretrained", 0.4), ("finetuned_initial", 0.0)]
    overlaps = [
        OverlapPoint("cifar10", "resnet20", 0.1, seed, "admm", sparsity, "finetune", pair, p, p + more, p)
        for seed in range(4)
        for sparsity in (0.5, 0.8, 0.9)
        for pair, more in places
        for p in (0.05, 0.1, 0.2, 0.3)
        if p <= 1 - sparsity + 1e-9
    ]
    verdict = only("F1", made_points(pruners=("admm",)), overlaps)
    assert verdict.outcome == "holds"
    assert "At p = 0.2" in verdict.rule
    assert [part.scope["sparsity"] for part in verdict.parts] == ["sparsity 50 %"] * 2
    crowded = only("F1", made_points(pruners=("admm",)), [o for o in overlaps if o.sparsity == 0.8])
    assert (crowded.outcome, crowded.n) == ("missing", 0)
    assert "below 80 %" in crowded.reason


def test_the_winning_property_with_few_seeds_is_undecided_and_says_why() -> None:
    verdict = only("A4", made_points(seeds=2))
    assert verdict.outcome == "undecided"
    assert "needs 3 seeds" in verdict.reason


@pytest.mark.parametrize(
    ("low", "high", "outcome", "rate"),
    [
        # Each pair is how far ticket and reinit lie above dense at a rate, in points.
        ((0.0, -3.0), (0.0, 0.0), "holds", "0.01"),
        ((0.0, -3.0), (0.0, -3.0), "fails", "0.1"),
        ((-3.0, -3.0), (0.0, -3.0), "fails", "0.01"),
        # At the low rate the ticket is just similar to dense, so that the high rate decides.
        ((-0.5, -3.0), (0.0, -3.0), "fails", "0.1"),
    ],
)
def test_the_winning_property_names_the_rate_that_decides_it(
    low: tuple[float, float], high: tuple[float, float], outcome: str, rate: str
) -> None:
    world = {
        learning_rate: {"dense": 90.0, "winning_ticket": ticket, "reinit": reinit}
        for learning_rate, (ticket, reinit) in ((0.01, low), (0.1, high))
    }
    verdict = only("A4", made_points(world, noise=0.1, sparsities=(0.3,)))
    assert verdict.outcome == outcome
    if outcome == "holds":
        assert "both parts hold" in verdict.reason
    assert any(f"learning rate {rate}" in part.place for part in verdict.parts if part.outcome == outcome)


def test_close_sparsities_stay_apart() -> None:
    table = winning_property(made_points(sparsities=(0.9985, 0.9986)))
    assert len({v.scope["sparsity"] for v in table}) == 2


def test_points_without_a_training_share_none() -> None:
    assert outcome("E2", made_points(noise=0.0, pruners=THREE)) == "holds"


@given(st.integers(0, 2**16), st.floats(1.5, 6))
def test_more_noise_around_the_same_means_never_decides_a_claim(number: int, factor: float) -> None:
    draw = random.Random(number)
    gaps = [draw.gauss(0.8, 0.5) for _ in range(5)]
    mean = math.fsum(gaps) / 5

    def runs(spread: float) -> list[Point]:
        return [
            Point("digits", "lenet300", 0.01, seed, "oneshot", 0.5, start, 80 + (start == "winning_ticket") * gap)
            for seed, value in enumerate(gaps)
            for gap in (mean + spread * (value - mean),)
            for start in ("winning_ticket", "reinit")
        ]

    if outcome("A1", runs(1.0)) == "undecided":
        assert outcome("A1", runs(factor)) == "undecided"
