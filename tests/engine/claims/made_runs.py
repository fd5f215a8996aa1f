"""Accuracies and overlaps of runs whose true means are known, with seeds scattered around them."""

import random
from collections.abc import Mapping, Sequence

from benchmarks.worlds import SPARSITIES
from engine.claims import OverlapPoint, Point, Verdict, evaluate

# The dense accuracy at each learning rate, and by how much each start lies above or below it, in points.
PAPER = {
    0.01: {"dense": 90.0, "winning_ticket": 0.0, "reinit": -3.0, "rewind": 0.1, "finetune": 0.4},
    0.1: {"dense": 92.0, "winning_ticket": -2.4, "reinit": -2.4, "rewind": -1.0, "finetune": 0.3},
}


def made_points(
    world: Mapping[float, Mapping[str, float]] = PAPER,
    seeds: int = 5,
    noise: float = 0.05,
    pruners: Sequence[str] = ("iterative",),
    sparsities: Sequence[float] = (0.3, 0.6, 0.8),
    dataset: str = "cifar10",
    below: Mapping[str, float] | None = None,
) -> list[Point]:
    """Return the runs of a world; below: by how many points a pruner's starts lie below the first pruner's."""
    draw = random.Random(7)
    points = []
    for rate, starts in world.items():
        for seed in range(seeds):
            common = draw.gauss(0, 5 * noise)
            points.append(Point(dataset, "resnet20", rate, seed, None, 0.0, "dense", starts["dense"] + common))
            for pruner in pruners:
                for sparsity in sparsities:
                    for start, gap in starts.items():
                        if start != "dense":
                            accuracy = starts["dense"] + gap + common + draw.gauss(0, noise)
                            accuracy -= (below or {}).get(pruner, 0.0)
                            points.append(Point(dataset, "resnet20", rate, seed, pruner, sparsity, start, accuracy))
    return points


def made_overlaps(
    remembering: Mapping[float, float],
    seeds: int = 5,
    noise: float = 0.005,
    pruner: str = "iterative",
    remembered: float = 0.2,
) -> list[OverlapPoint]:
    """Return the overlaps of a world.

    remembering: by how much overlaps with theta_0 lie above p, by learning rate. remembered: by how much fine-tuned
    weights overlap theta_T beyond what their mask alone gives.
    """
    draw = random.Random(7)
    points = []
    for rate, above in remembering.items():
        for seed in range(seeds):

            def ratio(p: float, more: float) -> float:
                return p + more + draw.gauss(0, noise)

            dense = ("cifar10", "resnet20", rate, seed, None, 0.0, "dense", "initial_pretrained")
            points += [OverlapPoint(*dense, p, ratio(p, above)) for p in (0.1, 0.2, 0.4)]
            for pair, more in {
                "ticket_finetuned": above,
                "reinit_finetuned": 0.0,
                "finetuned_initial": above / 10,
                "finetuned_pretrained": remembered,
            }.items():
                place = ("cifar10", "resnet20", rate, seed, pruner, 0.5, "finetune", pair, 0.2)
                level = {"finetuned_initial": 0.2, "finetuned_pretrained": 0.4}.get(pair)
                points.append(OverlapPoint(*place, ratio(level or 0.2, more), level))
    return points


def outcome(claim: str, points=(), overlaps=(), **settings: object) -> str:
    """Return the outcome of the only verdict on a claim."""
    (verdict,) = (v for v in evaluate(points, overlaps, claims=[claim], **settings))
    return verdict.outcome


def only(claim: str, points=(), overlaps=(), **settings: object) -> Verdict:
    """Return the only verdict on a claim."""
    (verdict,) = evaluate(points, overlaps, claims=[claim], **settings)
    return verdict


def world(rate: float, **starts: float) -> dict[float, dict[str, float]]:
    """Return the paper's own world with other means at a learning rate."""
    return {**PAPER, rate: {**PAPER[rate], **starts}}


def gaps(
    low: list[float], high: list[float], noise: float = 0.2, dataset: str = "cifar10", seeds: int = 5
) -> list[Point]:
    """Return runs whose ticket exceeds reinit by one gap per sparsity, in points, at each of two rates."""
    points = made_points(noise=noise, sparsities=SPARSITIES, dataset=dataset, seeds=seeds)
    by_rate = {0.01: low, 0.1: high}
    ticket = {(p.learning_rate, p.seed, p.sparsity): p.accuracy for p in points if p.start == "winning_ticket"}
    reinit = {(p.learning_rate, p.seed, p.sparsity): p.accuracy for p in points if p.start == "reinit"}
    usual = {0.01: 3.0, 0.1: 0.0}
    return [
        Point(p.dataset, p.network, p.learning_rate, p.seed, p.pruner, p.sparsity, p.start,
              reinit[p.learning_rate, p.seed, p.sparsity] + usual[p.learning_rate]
              - by_rate[p.learning_rate][SPARSITIES.index(p.sparsity)])
        if p.start == "reinit" else p
        for p in points
        if p.start == "dense" or (p.learning_rate, p.seed, p.sparsity) in ticket
    ]  # fmt: skip
