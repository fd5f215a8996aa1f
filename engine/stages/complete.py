"""Completing an older result: measurements that it lacks are computed from saved weights."""

import logging
from dataclasses import replace

from engine.masks import Mask, content_hash
from engine.overlap import mask_alone
from engine.stages.weights import Weights, WeightsLost
from engine.study.plan import Stage
from engine.study.results import AGAINST_DENSE, Overlap, StageResult

log = logging.getLogger(__name__)

# Each pair of a pruned and a dense network is compared with these weights of the root.
DENSE_OF = dict(zip(AGAINST_DENSE, ("initial", "trained"), strict=True))


def lacks(stage: Stage, result: StageResult) -> bool:
    """Return whether a result lacks the hash of its mask, or the level of the mask alone in an overlap."""
    if stage.kind != "retrain" or result.diverged is not None:
        return False
    return result.mask is None or any(_lacks_level(overlap) for overlap in result.overlaps)


def complete(stage: Stage, result: StageResult, weights: Weights) -> StageResult | None:
    """Return a result completed from the stage's mask and the dense weights of its root.

    A complete result is returned as it is. If the dense weights are lost but the mask is not, only the hash of the mask
    is added. Returns None if the saved weights add nothing.
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


def _lacks_level(overlap: Overlap) -> bool:
    return overlap.pair in DENSE_OF and any(count.expected is None for count in overlap.counts)


def _completed(overlap: Overlap, mask: Mask, stage: Stage, weights: Weights) -> Overlap:
    if not _lacks_level(overlap):
        return overlap
    sizes = {count.layer: count.size for count in overlap.counts}
    if sizes != {layer: tensor.numel() for layer, tensor in mask.items()}:
        raise ValueError("its mask and its overlaps are of different networks")
    if stage.root is None:
        raise ValueError("it has no root, so its dense network is unknown")
    try:
        dense = weights.load(stage.root, DENSE_OF[overlap.pair])
    except WeightsLost:
        return overlap
    if not mask.keys() <= dense.keys():
        raise ValueError(f"its mask and the weights of stage {stage.root} are of different networks")
    ps = sorted({count.p for count in overlap.counts})
    alone = mask_alone(mask, {layer: dense[layer] for layer in mask}, ps)
    return replace(overlap, counts=tuple(replace(c, expected=alone[c.layer][c.p]) for c in overlap.counts))
