"""Run one stage: load what it starts from, train it, measure it, and keep its weights."""

import logging
import math
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from engine import starts
from engine.admm import AdmmPenalty, automatic_rho
from engine.augment import to_device
from engine.dataset import Dataset
from engine.masks import Mask, sparsity
from engine.networks import prunable
from engine.overlap import P_GRID, overlap_counts
from engine.plan import ENGINE_VERSION, Stage
from engine.pruners import make_mask
from engine.results import Epoch, Overlap, StageResult
from engine.retention import Retention
from engine.training import Diverged, Schedule, Training, train

log = logging.getLogger(__name__)

State = dict[str, Tensor]
T = TypeVar("T")


class Interrupted(Exception):
    """The observer asked to stop; the checkpoint is written and the stage can be resumed anywhere."""


class WeightsLost(Exception):
    """Kept tensors of a stage, by fingerprint and name, are missing or damaged."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        self.fingerprint = fingerprint
        self.name = name
        super().__init__(message)


# What a finished stage has kept, by its kind: what its children may ask for.
KEPT = {"pretrain": ("initial", "rewind", "trained"), "admm": ("trained",), "retrain": ("trained", "mask")}


def kept(stage: Stage, result: StageResult) -> tuple[str, ...]:
    """Return the names of the weights that a finished stage has kept; of one that diverged, none that anybody needs."""
    return KEPT[stage.kind] if result.diverged is None else ()


class Weights(Protocol):
    """Where tensors and results are kept, by the stage's fingerprint.

    Names of tensors are initial, rewind, trained, mask and checkpoint. load raises WeightsLost for what is missing or
    damaged; result answers None for what is missing.
    """

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None: ...

    def load(self, fingerprint: str, name: str) -> State: ...

    def exists(self, fingerprint: str, name: str) -> bool: ...

    def result(self, fingerprint: str) -> StageResult | None: ...


class Observer(Protocol):
    """What is told of a stage's progress. Either method may raise to abandon the stage."""

    def epoch(self, row: Epoch, total: int) -> bool:
        """Hear of an epoch just trained; answer False to write a checkpoint and stop."""
        ...

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Record the epochs since the last commit; anything is written only after this has returned."""
        ...


def run_stage(
    stage: Stage,
    dataset: Dataset,
    weights: Weights,
    device: torch.device,
    observer: Observer,
    checkpoint_seconds: float = 5.0,
) -> StageResult:
    """Train and measure a stage, from its checkpoint where there is one, and save what its children need.

    Where a loss is not finite, or the parent's was not, the result says so (see `StageResult.diverged`) and no trained
    weights are saved. A damaged checkpoint counts as none. Raises Interrupted when the observer asks to stop,
    WeightsLost for those of another stage, and whatever else weights and observer raise.
    """
    if _starts_diverged(stage, weights):
        observer.commit(())
        return _diverged(stage, device, (), 0)
    layers, mask, training = _prepare(stage, dataset, weights, device)
    retention = Retention(stage, dataset, layers)
    state = _checkpoint(stage, weights)
    if state is not None:
        training.load(state)
        retention.load(state)
    committed = len(training.history)
    saved_at = time.monotonic()

    def checkpoint() -> None:
        nonlocal committed, saved_at
        observer.commit(training.history[committed:])
        if stage.kind == "pretrain" and len(training.history) == stage.recipe.k:
            weights.save(stage.fingerprint, "rewind", training.weights())
        weights.save(stage.fingerprint, "checkpoint", {**training.state(), **retention.state()})
        committed, saved_at = len(training.history), time.monotonic()

    def after_epoch(training: Training, row: Epoch) -> bool:
        go_on = observer.epoch(row, stage.epochs)
        retention.look(training, row.epoch)
        rewind = stage.kind == "pretrain" and row.epoch == stage.recipe.k
        if rewind or not go_on or time.monotonic() - saved_at >= checkpoint_seconds:
            checkpoint()
        return go_on

    try:
        train([training], after_epoch)
    except Diverged:
        observer.commit(training.history[committed:])
        return _diverged(stage, device, training.history, len(training.history) + 1)
    if not training.done:
        raise Interrupted(f"stopped after epoch {len(training.history)} of {stage.epochs}")
    begin = time.perf_counter()
    trained = training.weights()
    overlaps = _overlaps(stage, dataset, weights, {layer: trained[layer] for layer in layers}, mask, device)
    measuring = time.perf_counter() - begin + retention.seconds
    observer.commit(training.history[committed:])
    weights.save(stage.fingerprint, "trained", trained)
    if mask:
        weights.save(stage.fingerprint, "mask", mask)
    return StageResult(
        fingerprint=stage.fingerprint,
        epochs=tuple(training.history),
        sparsity=sparsity(mask) if mask else 0.0,
        seconds=sum(row.seconds for row in training.history) + measuring,
        device=_in_words(device),
        overlaps=overlaps,
        residuals=tuple(training.penalty.residuals) if training.penalty else (),
        versions=_versions(),
        retention=tuple(retention.rows),
    )


def _checkpoint(stage: Stage, weights: Weights) -> State | None:
    if not weights.exists(stage.fingerprint, "checkpoint"):
        return None
    try:
        return weights.load(stage.fingerprint, "checkpoint")
    except WeightsLost as error:
        # It only saves time: without it the stage is trained from its start, to the same numbers.
        log.warning("stage %s begins anew: %s", stage.fingerprint, error)
        return None


def _starts_diverged(stage: Stage, weights: Weights) -> bool:
    """Return whether what a stage is made from was never trained to its end, since its loss was not finite."""
    parent = None if stage.parent is None else weights.result(stage.parent)
    return parent is not None and parent.diverged is not None


def _diverged(stage: Stage, device: torch.device, epochs: Sequence[Epoch], at: int) -> StageResult:
    """Return the result of a training without an end: its finite epochs, and no measurement of a network."""
    return StageResult(
        fingerprint=stage.fingerprint,
        epochs=tuple(epochs),
        sparsity=0.0,
        seconds=sum(row.seconds for row in epochs),
        device=_in_words(device),
        versions=_versions(),
        diverged=at,
    )


def _in_words(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _versions() -> dict[str, str]:
    return {"engine": str(ENGINE_VERSION), "torch": torch.__version__, "python": platform.python_version()}


def _prepare(
    stage: Stage, dataset: Dataset, weights: Weights, device: torch.device
) -> tuple[tuple[str, ...], Mask, Training]:
    """Return the prunable layers, the mask (empty for dense training) and the training, ready to run."""
    network = starts.reinit(stage, dataset) if stage.start == "reinit" else starts.initial(stage, dataset)
    layers = prunable(network)
    mask: Mask = {}
    if stage.kind == "pretrain":
        weights.save(stage.fingerprint, "initial", starts.state(network))
    elif stage.kind == "admm":
        network.load_state_dict(weights.load(_given(stage.root, stage), "trained"))
    else:
        if stage.start != "reinit":
            source = starts.SOURCES[_given(stage.start, stage)]
            network.load_state_dict(weights.load(_given(stage.root, stage), source))
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
    parent = _given(stage.parent, stage)
    trained = weights.load(parent, "trained")
    within = weights.load(parent, "mask") if len(stage.rounds) > 1 else None
    kernels = {layer: trained[layer] for layer in layers}
    return make_mask(_given(stage.score, stage), kernels, stage.sparsity, stage.scope or "layer", within, stage.seed)


def _overlaps(
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
    pretrained = weights.load(_given(stage.root, stage), "trained")
    return (
        measure("ticket_finetuned", initial, trained, mask),
        measure("reinit_finetuned", reinit, trained, mask),
        measure("finetuned_initial", trained, initial),
        measure("finetuned_pretrained", trained, pretrained),
    )


def _given(value: T | None, stage: Stage) -> T:
    if value is None:
        raise ValueError(f"stage {stage.fingerprint} ({stage.kind}) lacks a setting that its kind needs")
    return value
