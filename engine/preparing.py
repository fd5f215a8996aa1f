"""What a stage is made from: its network at the right weights, its mask, and the training of both."""

import math

import torch

from engine import starts, together
from engine.admm import AdmmPenalty, automatic_rho, growing_rho
from engine.augment import to_device
from engine.counts import P_GRID
from engine.dataset import Dataset
from engine.lost import Weights
from engine.masks import Mask
from engine.networks import prunable
from engine.overlap import overlap_counts
from engine.plan import Stage
from engine.results import Overlap
from engine.room import Room
from engine.scores import make_mask
from engine.starts import State, required
from engine.training import Schedule, Training


def prepare(
    stage: Stage, dataset: Dataset, weights: Weights, device: torch.device
) -> tuple[tuple[str, ...], Mask, Training]:
    """Return the prunable layers, the mask (empty for dense training) and the training, ready to run.

    Raises WeightsLost for those of the stages that it is made from.
    """
    network = starts.initial(stage, dataset)
    layers = prunable(network)
    mask: Mask = {}
    if stage.kind == "pretrain":
        weights.save(stage.fingerprint, "initial", starts.state(network))
    elif stage.kind == "admm":
        network.load_state_dict(weights.load(required(stage.root, stage), "trained"))
    else:
        network.load_state_dict(starts.starting(stage, dataset, weights))
        mask = _mask(stage, weights, layers)
        shapes = {layer: network.state_dict()[layer].shape for layer in layers}
        if odd := [layer for layer in layers if mask[layer].shape != shapes[layer]]:
            raise ValueError(
                f"the mask of {odd[0]} is {tuple(mask[odd[0]].shape)}, the layer {tuple(shapes[odd[0]])}: the weights "
                f"kept of stage {stage.parent} are another network's; remove them and its result, then launch again"
            )
    data = to_device(dataset, stage.recipe.augmentation, device)
    schedule = Schedule(stage.recipe, stage.learning_rate, stage.epochs, stage.seed, stage.kind)
    training = Training(network.to(device), data, schedule, mask)
    if stage.admm is not None:
        steps = stage.admm.period * math.ceil(len(data.train) / stage.recipe.batch_size)
        automatic = automatic_rho(stage.learning_rate, stage.recipe.momentum, steps)
        rho, growth = stage.admm.rho or automatic, 1.0
        if stage.rho_grows:
            rho, growth = growing_rho(stage.admm.rho_start, stage.admm.rho_end, automatic, stage.admm.rounds)
        training.penalty = AdmmPenalty(
            training.flat,
            layers,
            stage.sparsity,
            stage.scope or "layer",
            rho=rho,
            learning_rate=stage.learning_rate,
            period=stage.admm.period,
            growth=growth,
        )
    return layers, mask, training


def _mask(stage: Stage, weights: Weights, layers: tuple[str, ...]) -> Mask:
    """Return the mask that a retraining holds, made from its parent's trained weights."""
    parent = required(stage.parent, stage)
    trained = weights.load(parent, "trained")
    within = weights.load(parent, "mask") if len(stage.rounds) > 1 else None
    kernels = {layer: trained[layer] for layer in layers}
    return make_mask(required(stage.score, stage), kernels, stage.sparsity, stage.scope or "layer", within, stage.seed)


def how_many(stage: Stage, dataset: Dataset, device: torch.device) -> Room:
    """Return how many stages of a stage's shape to run side by side on a device: see `engine.together.how_many`."""

    def make() -> Training:
        network = starts.initial(stage, dataset).to(device)
        data = to_device(dataset, stage.recipe.augmentation, device)
        schedule = Schedule(stage.recipe, stage.learning_rate, stage.epochs, stage.seed, "measuring")
        # As a pruned network's, with a mask: that of the dense one.
        mask = {layer: torch.ones_like(network.state_dict()[layer], dtype=torch.bool) for layer in prunable(network)}
        return Training(network, data, schedule, mask)

    return together.how_many(make, device)


def overlaps(
    stage: Stage, dataset: Dataset, weights: Weights, trained: State, mask: Mask, device: torch.device
) -> tuple[Overlap, ...]:
    """Return the overlap ratios that a stage records (figures 2 and 4-6, table 1)."""

    def measure(pair: str, a: State, b: State, within: Mask | None = None, held: Mask | None = None) -> Overlap:
        masks = (within and on_device(within), held and on_device(held))
        return Overlap(pair, tuple(overlap_counts(on_device(a), on_device(b), P_GRID, *masks)))

    def on_device(tensors: State) -> State:
        return {layer: tensors[layer].to(device) for layer in trained}

    if stage.kind == "pretrain":
        return (measure("initial_pretrained", weights.load(stage.fingerprint, "initial"), trained),)
    if stage.start != "finetune":
        return ()
    root = required(stage.root, stage)
    initial, pretrained = weights.load(root, "initial"), weights.load(root, "trained")
    reinit = starts.reinit(stage, dataset, weights)
    return (
        measure("ticket_finetuned", initial, trained, mask),
        measure("reinit_finetuned", reinit, trained, mask),
        measure("finetuned_initial", trained, initial, held=mask),
        measure("finetuned_pretrained", trained, pretrained, held=mask),
    )
