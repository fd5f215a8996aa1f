"""Completing an older result: what only later versions measure is computed from the weights that are still there."""

import logging
from dataclasses import replace

from engine.masks import Mask, content_hash
from engine.overlap import mask_alone
from engine.stages.weights import Weights, WeightsLost
from engine.study.plan import Stage
from engine.study.results import AGAINST_DENSE, Overlap, StageResult

log = logging.getLogger(__name__)

# Which weights of the root each pair of a pruned and a dense network is compared with.
DENSE_OF = dict(zip(AGAINST_DENSE, ("initial", "trained"), strict=True))


def lacks(stage: Stage, result: StageResult) -> bool:
    """Return whether a result lacks the hash of its mask, or what the mask alone gives in an overlap."""
    if stage.kind != "retrain" or result.diverged is not None:
        return False
    return result.mask is None or any(_is_open(overlap) for overlap in result.overlaps)


def complete(stage: Stage, result: StageResult, weights: Weights) -> StageResult | None:
    """Return a result with what it lacks, computed from the stage's mask and the dense weights of its root.

    A result that lacks nothing is returned as it is. Where the dense weights are lost but the mask is not, only the
    hash of the mask is filled in. Returns None where the weights that are left fill in nothing.
    """
    if not lacks(stage, result):
        return result
    try:
        mask = weights.load(result.fingerprint, "mask")
        overlaps = tuple(_completed(overlap, mask, stage, weights) for overlap in result.overlaps)
    except WeightsLost:
        return None
    except ValueError as error:
        log.warning("the result of stage %s stays as it is: %s", result.fingerprint, error)
        return None
    completed = replace(result, mask=content_hash(mask), overlaps=overlaps)
    return None if completed == result else completed


def _is_open(overlap: Overlap) -> bool:
    return overlap.pair in DENSE_OF and any(count.expected is None for count in overlap.counts)


def _completed(overlap: Overlap, mask: Mask, stage: Stage, weights: Weights) -> Overlap:
    if not _is_open(overlap):
        return overlap
    sizes = {count.layer: count.size for count in overlap.counts}
    if sizes != {layer: tensor.numel() for layer, tensor in mask.items()}:
        raise ValueError("its mask is not that of the network whose overlaps it holds")
    if stage.root is None:
        raise ValueError("it names no dense network that it was made from")
    try:
        dense = weights.load(stage.root, DENSE_OF[overlap.pair])
    except WeightsLost:
        return overlap
    if not mask.keys() <= dense.keys():
        raise ValueError(f"its mask is not that of the network whose weights stage {stage.root} has saved")
    ps = sorted({count.p for count in overlap.counts})
    alone = mask_alone(mask, {layer: dense[layer] for layer in mask}, ps)
    return replace(overlap, counts=tuple(replace(c, expected=alone[c.layer][c.p]) for c in overlap.counts))
