"""Whether a result is one that a training with the settings of its stage can have."""

from engine.study.plan import Stage
from engine.study.results import PAIRS, Epoch, StageResult


def require_sound(stage: Stage, fingerprint: str, result: StageResult) -> None:
    """Raise ValueError for a result that its stage cannot have."""
    if result.fingerprint != fingerprint:
        raise ValueError(f"it is the result of stage {result.fingerprint}")
    if [epoch.epoch for epoch in result.epochs] != list(range(1, len(result.epochs) + 1)):
        raise ValueError("its epochs are not numbered from 1 without gaps")
    if result.diverged is None and len(result.epochs) != stage.epochs:
        raise ValueError(f"it has {len(result.epochs)} epochs; its stage trains {stage.epochs}")
    if len(result.epochs) > stage.epochs:
        raise ValueError(f"it has {len(result.epochs)} epochs; its stage trains {stage.epochs} at most")
    for epoch in result.epochs:
        _require_measured(epoch)
    if not 0 <= result.sparsity <= 1 or result.seconds < 0:
        raise ValueError("its sparsity is not between 0 and 1, or its seconds are below 0")
    if unknown := {overlap.pair for overlap in result.overlaps} - set(PAIRS):
        raise ValueError(f"it has overlaps of the unknown pair {min(unknown)[:60]!a}; known: {', '.join(PAIRS)}")
    if len({overlap.pair for overlap in result.overlaps}) < len(result.overlaps):
        raise ValueError("it has overlaps of a pair twice")
    for overlap in result.overlaps:
        if any(not count.intersection <= count.top <= count.size for count in overlap.counts):
            raise ValueError(f"an overlap of {overlap.pair} has more weights in common than in a set, or in the layer")
    if result.mask is not None and stage.kind != "retrain":
        raise ValueError("it has a mask, which only a retraining has")
    if (result.support is not None or result.residuals) and stage.kind != "admm":
        raise ValueError("it has residuals or a support, which only ADMM has")


def _require_measured(epoch: Epoch) -> None:
    if not (0 <= epoch.train_accuracy <= 100 and 0 <= epoch.test_accuracy <= 100):
        raise ValueError(f"an accuracy of epoch {epoch.epoch} is not between 0 and 100 percent")
    if min(epoch.train_loss, epoch.test_loss, epoch.seconds, epoch.learning_rate) < 0:
        raise ValueError(f"a loss, the learning rate or the time of epoch {epoch.epoch} is below 0")
