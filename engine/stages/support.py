"""Which weights ADMM keeps that one-shot pruning would not, and what removing the others at once does to accuracy."""

import torch

from engine.masks import Mask, magnitude_mask
from engine.stages.starts import State, required
from engine.stages.weights import Weights
from engine.study.plan import Stage
from engine.study.results import Support
from engine.training.sgd import Training


def support_of(stage: Stage, weights: Weights, trained: State, layers: tuple[str, ...], training: Training) -> Support:
    """Return how the support of ADMM's trained weights differs from that of theta_T.

    training: of the stage, at its end; its network is left with other weights. Raises WeightsLost for theta_T.
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
    return {**state, **{layer: torch.where(kept, state[layer], 0.0) for layer, kept in mask.items()}}
