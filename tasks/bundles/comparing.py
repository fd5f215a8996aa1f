"""How a result that is imported differs from the one of the same stage that is here already."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.formatting import number, percent
from engine.study.plan import Stage
from engine.study.results import StageResult


@dataclass(frozen=True)
class Difference:
    """A stage whose test accuracies here are others than in a bundle.

    stage: in words. points: the largest difference at an epoch, in percent; None if it trained other epochs.
    """

    fingerprint: str
    stage: str
    points: float | None


def difference(stage: Stage, result: StageResult, here: Sequence[float]) -> Difference | None:
    """Return how an imported result differs from the test accuracies here, by epoch in percent; None if it does not."""
    there = [epoch.test_accuracy for epoch in result.epochs]
    if there == list(here):
        return None
    same_length = len(there) == len(here)
    points = max(abs(one - other) for one, other in zip(there, here, strict=True)) if same_length else None
    return Difference(result.fingerprint, described(stage), points)


def described(stage: Stage) -> str:
    """Return a stage in words."""
    run = f"{stage.network} on {stage.images.name}, lr {number(stage.learning_rate)}, seed {stage.seed}"
    if stage.kind == "pretrain":
        return f"dense {run}"
    return f"{stage.start or 'admm'} @ {percent(stage.sparsity)}, {run}"


def in_words(differences: Sequence[Difference]) -> str:
    """Return a sentence on the results that are here with other numbers; "" for none."""
    if not differences:
        return ""
    measured = [one for one in differences if one.points is not None]
    largest = max(measured, key=lambda one: one.points or 0.0, default=differences[0])
    count = f"{len(differences):,} trainings" if len(differences) > 1 else "1 training"
    if largest.points is None:
        how = f"such as {largest.stage}, which trained another number of epochs"
    else:
        how = f"by at most {largest.points:.2g} points of test accuracy ({largest.stage})"
    return (
        f"{count} of the bundle differ{'s' * (len(differences) == 1)} from the same here, {how}; the numbers here stay"
    )
