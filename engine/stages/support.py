"""ADMM's mask compared with that of one-shot pruning: how many weights differ, and the accuracy right after pruning."""

import torch

from engine.masks import Mask, magnitude_mask
from engine.stages.starts import State, required
from engine.stages.weights import Weights
from engine.study.plan import Stage
from engine.study.results import Support
from engine.training.sgd import Training


def support_of(stage: Stage, weights: Weights, trained: State, layers: tuple[str, ...], training: Training) -> Support:
    """Return the comparison of ADMM's mask with the mask of one-shot pruning of theta_T.

    training: of the stage, at its end; its network's weights are overwritten. Raises WeightsLost where theta_T is lost.
    """
    pretrained = weights.load(required(stage.root, stage), "trained")
    mask, oneshot = (
        magnitude_mask({layer: state[layer] for layer in layers}, stage.sparsity, stage.scope or "layer")
        for state in (trained, pretrained)
    )
    return Support(
        kept=sum(int(mask[layer].sum()) for layer in layers),
        moved=sum(int((mask[layer] & ~oneshot[layer]).sum()) for layer in layers),
        accuracy=training.accuracy_with(_pruned(trained, mask)),
        oneshot_accuracy=training.accuracy_with(_pruned(pretrained, oneshot)),
    )


def _pruned(state: State, mask: Mask) -> State:
    return {**state, **{layer: torch.where(keep, state[layer], 0.0) for layer, keep in mask.items()}}
