"""What a stage is made from: its network at the right weights, its mask, and the training of both."""

import math
from collections.abc import Mapping
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from engine import starts, together
from engine.admm import AdmmPenalty, automatic_rho
from engine.augment import to_device
from engine.counts import P_GRID
from engine.dataset import Dataset
from engine.masks import Mask
from engine.networks import prunable
from engine.overlap import overlap_counts
from engine.plan import Stage
from engine.results import Overlap, StageResult
from engine.room import Room
from engine.scores import make_mask
from engine.training import Schedule, Training

State = dict[str, Tensor]
T = TypeVar("T")


class Weights(Protocol):
    """Where tensors and results are kept, by the stage's fingerprint.

    Names of tensors are initial, rewind, trained, mask and checkpoint. load raises WeightsLost for what is missing or
    damaged; result answers None for what is missing.
    """

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None: ...

    def load(self, fingerprint: str, name: str) -> State: ...

    def exists(self, fingerprint: str, name: str) -> bool: ...

    def result(self, fingerprint: str) -> StageResult | None: ...


def prepare(
    stage: Stage, dataset: Dataset, weights: Weights, device: torch.device
) -> tuple[tuple[str, ...], Mask, Training]:
    """Return the prunable layers, the mask (empty for dense training) and the training, ready to run.

    Raises WeightsLost for those of the stages that it is made from.
    """
    network = starts.reinit(stage, dataset) if stage.start == "reinit" else starts.initial(stage, dataset)
    layers = prunable(network)
    mask: Mask = {}
    if stage.kind == "pretrain":
        weights.save(stage.fingerprint, "initial", starts.state(network))
    elif stage.kind == "admm":
        network.load_state_dict(weights.load(given(stage.root, stage), "trained"))
    else:
        if stage.start != "reinit":
            source = starts.SOURCES[given(stage.start, stage)]
            network.load_state_dict(weights.load(given(stage.root, stage), source))
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
        rho = stage.admm.rho or automatic_rho(stage.learning_rate, stage.recipe.momentum, steps)
        training.penalty = AdmmPenalty(
            training.flat,
            layers,
            stage.sparsity,
            stage.scope or "layer",
            rho=rho,
            learning_rate=stage.learning_rate,
            period=stage.admm.period,
        )
    return layers, mask, training


def _mask(stage: Stage, weights: Weights, layers: tuple[str, ...]) -> Mask:
    """Return the mask that a retraining holds, made from its parent's trained weights."""
    parent = given(stage.parent, stage)
    trained = weights.load(parent, "trained")
    within = weights.load(parent, "mask") if len(stage.rounds) > 1 else None
    kernels = {layer: trained[layer] for layer in layers}
    return make_mask(given(stage.score, stage), kernels, stage.sparsity, stage.scope or "layer", within, stage.seed)


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

    def measure(pair: str, a: State, b: State, within: Mask | None = None) -> Overlap:
        return Overlap(pair, tuple(overlap_counts(on_device(a), on_device(b), P_GRID, within and on_device(within))))

    def on_device(tensors: State) -> State:
        return {layer: tensors[layer].to(device) for layer in trained}

    initial = starts.state(starts.initial(stage, dataset))
    if stage.kind == "pretrain":
        return (measure("initial_pretrained", initial, trained),)
    if stage.start != "finetune":
        return ()
    reinit = starts.state(starts.reinit(stage, dataset))
    pretrained = weights.load(given(stage.root, stage), "trained")
    return (
        measure("ticket_finetuned", initial, trained, mask),
        measure("reinit_finetuned", reinit, trained, mask),
        measure("finetuned_initial", trained, initial),
        measure("finetuned_pretrained", trained, pretrained),
    )


def given(value: T | None, stage: Stage) -> T:
    if value is None:
        raise ValueError(f"stage {stage.fingerprint} ({stage.kind}) lacks a setting that its kind needs")
    return value
