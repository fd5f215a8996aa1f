"""Simulated worlds for `benchmarks.verdicts`: true means, runs drawn from them, and the claims that are true."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.claims import CLAIMS, OverlapPoint, Point, Thresholds, Verdict

LOW, HIGH = 0.01, 0.1
# Twelve rounds of 15 %: the paper's design.
SPARSITIES = (0.15, 0.278, 0.386, 0.478, 0.556, 0.623, 0.679, 0.728, 0.768, 0.803, 0.833, 0.858)
OVERLAP_SPARSITIES = (0.3, 0.5, 0.7)
PS = (0.1, 0.2, 0.3, 0.4, 0.5)
PAPER_PRUNERS = ("iterative", "oneshot", "admm")
# The standard deviation of an overlap ratio over seeds where that of an accuracy is 1 point.
OVERLAP_DEVIATION = 0.04

# Returns a start's accuracy minus the dense one's at the same rate, in points, from rate, pruner and sparsity.
Curve = Callable[[float, str, float], float]


def x(sparsity: float) -> float:
    """Return a sparsity divided by the paper's highest."""
    return sparsity / SPARSITIES[-1]


def papers_ticket(rate: float, pruner: str, sparsity: float) -> float:
    advantage = {"admm": 0.1, "iterative": 0.0, "oneshot": -0.3}.get(pruner, -0.6)
    return advantage + (0.4 - 0.8 * x(sparsity) ** 3 if rate == LOW else -0.6 - 1.5 * x(sparsity))


def papers_reinit(rate: float, pruner: str, sparsity: float) -> float:
    return papers_ticket(rate, pruner, sparsity) - (1.0 + 2.0 * x(sparsity) if rate == LOW else 0.0)


def papers_finetune(rate: float, pruner: str, sparsity: float) -> float:
    curve = 0.5 - 0.5 * x(sparsity) ** 3
    if pruner in ("admm", "iterative"):
        return curve + 0.2 * (pruner == "admm")
    return curve - 0.2 - 1.3 * x(sparsity) ** 3


def papers_rewind(rate: float, pruner: str, sparsity: float) -> float:
    return (papers_ticket(rate, pruner, sparsity) + papers_finetune(rate, pruner, sparsity)) / 2


PAPERS: dict[str, Curve] = {
    "winning_ticket": papers_ticket,
    "reinit": papers_reinit,
    "rewind": papers_rewind,
    "finetune": papers_finetune,
}


@dataclass(frozen=True)
class World:
    """The true means of a simulated world.

    starts: the curve of each start. retained: R_p - p of initial and trained weights, and of a ticket, by rate.
    remembered, initial: R_p minus the mask's level of fine-tuned weights with trained and initial weights. spread: the
    factor on the standard deviation, by sparsity. lost: the share of missing runs. claims: those that are judged.
    """

    title: str
    dataset: str = "cifar10"
    dense: Mapping[float, float] = field(default_factory=lambda: {LOW: 89.62, HIGH: 91.7})
    starts: Mapping[str, Curve] = field(default_factory=lambda: PAPERS)
    pruners: tuple[str, ...] = PAPER_PRUNERS
    retained: Mapping[float, float] = field(default_factory=lambda: {LOW: 0.35, HIGH: 0.01})
    remembered: float = 0.09
    initial: float = 0.003
    spread: Callable[[float], float] = lambda sparsity: 1.0
    lost: float = 0.0
    claims: tuple[str, ...] = tuple(CLAIMS)

    @property
    def margin(self) -> float:
        return Thresholds().margin_on(self.dataset)


def shifted(**curves: Curve) -> dict[str, Curve]:
    return {**PAPERS, **curves}


def apart(gap: Callable[[float, float], float]) -> dict[str, Curve]:
    """Return starts whose ticket exceeds the reinit by a gap that depends on rate and sparsity."""
    return shifted(reinit=lambda rate, pruner, s: papers_ticket(rate, pruner, s) - gap(rate, s))


def alternating(rate: float, sparsity: float) -> float:
    return 3.0 if SPARSITIES.index(sparsity) % 2 else -3.0


def alone(rate: float, sparsity: float) -> float:
    """Return a gap that is large at one sparsity only."""
    if rate == LOW:
        return 8.0 if sparsity == SPARSITIES[-1] else -0.1
    return 1.0 if sparsity == SPARSITIES[5] else 0.0


def last_three_fall(rate: float, pruner: str, sparsity: float) -> float:
    return -3.0 if sparsity in SPARSITIES[-3:] else 0.5


def equal_pruners(curve: Curve) -> Curve:
    return lambda rate, pruner, sparsity: curve(rate, "iterative", sparsity) - 0.9 * x(sparsity) ** 4


def admm_off(points: float) -> Curve:
    def curve(rate: float, pruner: str, sparsity: float) -> float:
        return 0.5 - 1.6 * x(sparsity) ** 3 + points * (pruner == "admm")

    return curve


def barely(true: bool) -> World:
    """Return a world whose effects are just large enough for the claims to be true, or just too small."""
    off = 0.9 if true else 1.1
    last = SPARSITIES[-1]

    def gap(rate: float, sparsity: float) -> float:
        if rate == LOW:
            return (0.05 if true else -0.05) if sparsity == last else 2.0
        return 0.5 * off if sparsity == last else 0.0

    starts = apart(gap) | {
        "finetune": lambda rate, pruner, s: -0.5 * off if s == last else 0.5,
        "winning_ticket": papers_ticket,
    }
    rising = 0.5 * (1.1 if true else 0.9)
    about = 0.05 * off
    return World(
        f"effects just {'inside' if true else 'outside'} their margins", starts=starts,
        dense={LOW: 90.0, HIGH: 90.0 + rising}, retained={LOW: 0.1 * (1.1 if true else 0.9), HIGH: about},
        remembered=0.05 * (1.1 if true else 0.9), initial=about,
        claims=tuple(claim for claim in CLAIMS if claim[0] != "E"),
    )  # fmt: skip


def doubled(curve: Curve) -> Curve:
    return lambda rate, pruner, sparsity: 2 * curve(rate, pruner, sparsity)


def as_admm(curve: Curve) -> Curve:
    """Return a curve on which random pruning is as good as ADMM."""
    return lambda rate, pruner, sparsity: curve(rate, "admm" if pruner == "random" else pruner, sparsity)


GAPS = ("A1", "A2", "A1+A2", "A4")
WORLDS = {
    "paper": World("the paper's story, on CIFAR-10"),
    "paper100": World(
        "the paper's story, on CIFAR-100", dataset="cifar100", dense={LOW: 63.1, HIGH: 67.15},
        starts={name: doubled(curve) for name, curve in PAPERS.items()},
    ),
    "equal_rates": World(
        "the same gap of 2 points and the same overlap at both rates", retained={LOW: 0.2, HIGH: 0.2},
        starts=shifted(winning_ticket=lambda rate, pruner, s: 0.2, reinit=lambda rate, pruner, s: -1.8),
        claims=(*GAPS, "B1", "D1"),
    ),
    "small_gap": World(
        "the same gap of 0.75 points at both rates, on CIFAR-100", dataset="cifar100",
        starts=apart(lambda rate, s: 0.75), claims=GAPS,
    ),
    "opposite": World("+3 points at six sparsities, -3 at six", starts=apart(alternating), claims=GAPS),
    "alone": World(
        "a gap, or a fall, at one sparsity or three", starts=apart(alone) | {"finetune": last_three_fall},
        claims=(*GAPS, "C1"),
    ),
    "equal_pruners": World(
        "three equal pruners", starts={name: equal_pruners(curve) for name, curve in PAPERS.items()},
        claims=("E2", "E3"),
    ),
    "admm_ahead": World("ADMM 0.4 points ahead", starts=shifted(finetune=admm_off(0.4)), claims=("E2", "E3")),
    "admm_behind": World("ADMM 1 point behind", starts=shifted(finetune=admm_off(-1.0)), claims=("E2", "E3")),
    "mask_only": World("fine-tuned weights that know only the mask", remembered=0.0, initial=0.0, claims=("F1",)),
    "control": World(
        "a random control as good as ADMM", pruners=(*PAPER_PRUNERS, "random"),
        starts={name: as_admm(curve) for name, curve in PAPERS.items()}, claims=("C1", "E1", "E2", "E3"),
    ),
    "uneven": World(
        "spread that grows fourfold with sparsity, a tenth of the runs missing", spread=lambda s: 0.5 + 1.5 * x(s),
        lost=0.1,
    ),
    "barely_true": barely(True),
    "barely_false": barely(False),
}  # fmt: skip


def runs(
    world: World, seeds: int, deviation: float, draw: np.random.Generator
) -> tuple[list[Point], list[OverlapPoint]]:
    """Return the runs of one study: each is its mean, plus noise of the seed, plus noise of its own."""
    points = []
    for rate in (LOW, HIGH):
        for seed in range(seeds):
            common = draw.normal(0, deviation)
            dense = world.dense[rate]
            points.append(Point(world.dataset, "resnet20", rate, seed, None, 0.0, "dense",
                                dense + common + draw.normal(0, deviation)))  # fmt: skip
            for pruner in world.pruners:
                for sparsity in SPARSITIES:
                    own = deviation * world.spread(sparsity)
                    for start, curve in world.starts.items():
                        # Claims that compare pruners need only these two starts of the other pruners.
                        if pruner in ("oneshot", "admm") and start not in ("finetune", "winning_ticket"):
                            continue
                        if world.lost and draw.random() < world.lost:
                            continue
                        accuracy = dense + curve(rate, pruner, sparsity) + common + draw.normal(0, own)
                        points.append(Point(world.dataset, "resnet20", rate, seed, pruner, sparsity, start, accuracy,
                                            moved=0.1 if pruner == "admm" else None))  # fmt: skip
    return points, list(_overlaps(world, seeds, deviation * OVERLAP_DEVIATION, draw))


def _overlaps(world: World, seeds: int, deviation: float, draw: np.random.Generator) -> Iterator[OverlapPoint]:
    for rate in (LOW, HIGH):
        for seed in range(seeds):
            place = (world.dataset, "resnet20", rate, seed)
            common = draw.normal(0, deviation)
            for p in PS:
                ratio = p + world.retained[rate] * (1 if rate == HIGH else 1.3 - p) + common + draw.normal(0, deviation)
                yield OverlapPoint(*place, None, 0.0, "dense", "initial_pretrained", p, ratio)
            for sparsity in OVERLAP_SPARSITIES:
                ticket = world.retained[rate]
                level = {"finetuned_pretrained": 0.2 / (1 - sparsity), "finetuned_initial": 0.2 + ticket / 10}
                above = {"ticket_finetuned": ticket, "reinit_finetuned": 0.0,
                         "finetuned_pretrained": world.remembered, "finetuned_initial": world.initial}  # fmt: skip
                for pair, more in above.items():
                    ratio = level.get(pair, 0.2) + more + draw.normal(0, deviation)
                    yield OverlapPoint(*place, "iterative", sparsity, "finetune", pair, 0.2, ratio, level.get(pair))


def truth(world: World, verdict: Verdict) -> bool:
    """Return whether a claim is true in a world, by the means from which its runs are drawn."""
    pruner = verdict.scope.get("pruner", "iterative")
    rate = HIGH if verdict.claim in ("A2", "E1", "G1", "E2", "E3") else LOW
    if verdict.claim == "C1":
        rate = float(verdict.scope["learning_rate"].removeprefix("learning rate "))
    margin = world.margin

    def minus(first: str, second: str, rate: float = rate, pruner: str = pruner) -> list[float]:
        return [world.starts[first](rate, pruner, s) - world.starts[second](rate, pruner, s) for s in SPARSITIES]

    def over_dense(start: str, rate: float = rate, pruner: str = pruner) -> list[float]:
        return [world.starts[start](rate, pruner, s) for s in SPARSITIES]

    def clear(gaps: Sequence[float], margin: float = margin) -> bool:
        least = sorted(gaps)[:-1] if len(gaps) > 1 else gaps
        return min(gaps) > 0 and sum(least) / len(least) > margin

    ticket, reinit = "winning_ticket", "reinit"
    low, high = minus(ticket, reinit, LOW), minus(ticket, reinit, HIGH)
    about = Thresholds().overlap_about
    above = Thresholds().overlap_above
    retained = world.retained
    match verdict.claim:
        case "A1":
            return clear(low)
        case "A2":
            return max(map(abs, high)) <= margin
        case "A1+A2":
            return clear([a - b for a, b in zip(low, high, strict=True)])
        case "A3":
            return world.dense[HIGH] - world.dense[LOW] > margin
        case "A4":
            there = any(
                gap > margin and against >= -margin and gap > gap_at_high
                for gap, against, gap_at_high in zip(low, over_dense(ticket, LOW), high, strict=True)
            )
            return there and not any(
                gap > margin and against >= -margin for gap, against in zip(high, over_dense(ticket, HIGH), strict=True)
            )
        case "B1":
            at_low = [retained[LOW] * (1.3 - p) for p in PS]
            contrast = [value - retained[HIGH] for value in at_low]
            return clear(at_low, above) and abs(retained[HIGH]) <= about and clear(contrast, about)
        case "C1":
            return min(over_dense("finetune")) >= -margin
        case "D1":
            return retained[LOW] > above and abs(retained[HIGH]) <= about and retained[LOW] - retained[HIGH] > about
        case "E1":
            return clear(minus("finetune", ticket)) and clear(minus("finetune", reinit))
        case "E2":
            return all(
                world.starts[start](HIGH, better, s) - world.starts[start](HIGH, worse, s) >= -margin
                for start in ("finetune", ticket)
                for better, worse in (("admm", "iterative"), ("iterative", "oneshot"))
                for s in SPARSITIES
            )
        case "E3":
            reach = {name: _reach(over_dense("finetune", HIGH, name), margin) for name in PAPER_PRUNERS}
            return reach["admm"] >= max(reach.values())
        case "F1":
            return world.remembered > about and world.initial <= about
        case "G1":
            return clear(minus("finetune", "rewind")) and clear(minus("rewind", ticket))
    raise ValueError(f"no truth for claim {verdict.claim}")


def _reach(gaps: Sequence[float], margin: float) -> float:
    before, gap_before = 0.0, 0.0
    for sparsity, gap in zip(SPARSITIES, gaps, strict=True):
        if gap < -margin:
            return before + (sparsity - before) * (gap_before + margin) / (gap_before - gap)
        before, gap_before = sparsity, gap
    return before
