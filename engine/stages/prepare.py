"""Preparing a stage: its network with starting weights, its mask, and the training of both."""

import math

import torch

from engine.dataset import Dataset
from engine.masks import Mask
from engine.models.networks import prunable
from engine.registry import SCORES
from engine.stages import starts
from engine.stages.scores import make_mask
from engine.stages.starts import required
from engine.stages.weights import Weights
from engine.study.plan import Stage
from engine.study.recipe import Schedule
from engine.training import concurrent
from engine.training.admm import AdmmPenalty, automatic_rho, growing_rho
from engine.training.augment import to_device
from engine.training.capacity import Capacity
from engine.training.device import choose_algorithms
from engine.training.sgd import Training


def prepare(
    stage: Stage, dataset: Dataset, weights: Weights, device: torch.device
) -> tuple[tuple[str, ...], Mask, Training]:
    """Return the prunable layers, the mask (empty for dense training) and the training, ready to run.

    Raises WeightsLost where the weights of its root or parent are lost.
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
        if wrong := [layer for layer in layers if mask[layer].shape != shapes[layer]]:
            raise ValueError(
                f"the mask of {wrong[0]} has shape {tuple(mask[wrong[0]].shape)}, the layer {tuple(shapes[wrong[0]])}: "
                f"the saved weights of stage {stage.parent} are another network's; remove them and its result, then "
                "launch again"
            )
    data = to_device(dataset, stage.recipe.augmentation, device)
    schedule = Schedule(stage.recipe, stage.learning_rate, stage.epochs, stage.seed, stage.kind)
    training = Training(network.to(device), data, schedule, mask)
    _equip(training, stage, layers, len(dataset.train_images))
    return layers, mask, training


def _equip(training: Training, stage: Stage, layers: tuple[str, ...], train_images: int) -> None:
    """Add to a training what its stage computes besides SGD: the movement of weights, and ADMM."""
    if stage.movement:
        training.flat_parameters.sum_movement()
    if stage.admm is not None:
        steps = stage.admm.period * math.ceil(train_images / stage.recipe.batch_size)
        automatic = automatic_rho(stage.learning_rate, stage.recipe.momentum, steps)
        rho, growth = stage.admm.rho or automatic, 1.0
        if stage.rho_grows:
            rho, growth = growing_rho(stage.admm.rho_start, stage.admm.rho_end, automatic, stage.admm.rounds)
        training.penalty = AdmmPenalty(
            training.flat_parameters,
            layers,
            stage.sparsity,
            stage.scope or "layer",
            rho=rho,
            learning_rate=stage.learning_rate,
            period=stage.admm.period,
            growth=growth,
        )


def _mask(stage: Stage, weights: Weights, layers: tuple[str, ...]) -> Mask:
    """Return the mask of a retraining, made from its parent's trained weights."""
    parent, root = required(stage.parent, stage), required(stage.root, stage)
    score = required(stage.score, stage)
    trained = weights.load(parent, "trained")
    within = weights.load(parent, "mask") if len(stage.rounds) > 1 else None
    kernels = {layer: trained[layer] for layer in layers}
    needed = {name: weights.load(root if name == "initial" else parent, name) for name in SCORES[score].needs}
    return make_mask(score, kernels, stage.sparsity, stage.scope or "layer", within, stage.seed, needed)


def is_random(stage: Stage, dataset: Dataset) -> bool:
    """Return whether a stage's network uses random numbers in training, so that it must train alone."""
    return concurrent.is_random(starts.initial(stage, dataset))


def how_many(stage: Stage, dataset: Dataset, device: torch.device) -> Capacity:
    """Return how many stages like one to run concurrently, see `engine.training.concurrent.how_many`."""

    choose_algorithms(stage.network)

    def make() -> Training:
        network = starts.initial(stage, dataset).to(device)
        data, layers = to_device(dataset, stage.recipe.augmentation, device), prunable(network)
        schedule = Schedule(stage.recipe, stage.learning_rate, stage.epochs, stage.seed, "measuring")
        # A mask that keeps all weights makes the step as slow as that of a pruned network.
        mask = {layer: torch.ones_like(network.state_dict()[layer], dtype=torch.bool) for layer in layers}
        training = Training(network, data, schedule, {} if stage.kind == "admm" else mask)
        _equip(training, stage, layers, len(dataset.train_images))
        return training

    return concurrent.how_many(make, device)
