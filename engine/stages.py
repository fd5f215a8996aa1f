"""Run one stage: load what it starts from, train it, measure it, and keep its weights."""

import logging
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from engine.together import Outcome, train
from engine.training import Diverged, Schedule, Training

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


@dataclass(frozen=True)
class Job:
    """A stage to run, the store that keeps its tensors, and who is told of its progress."""

    stage: Stage
    weights: Weights
    observer: Observer


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
    outcomes: list[StageResult | Exception] = []
    run_stages(
        [Job(stage, weights, observer)],
        dataset,
        device,
        lambda job, outcome: outcomes.append(outcome),
        checkpoint_seconds,
    )
    [outcome] = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run_stages(
    jobs: Sequence[Job],
    dataset: Dataset,
    device: torch.device,
    ended: Callable[[Job, StageResult | Exception], None],
    checkpoint_seconds: float = 5.0,
) -> None:
    """Run stages side by side on one device, each as `run_stage` would.

    ended: called as each ends, with its result or with what `run_stage` would raise; the others go on.
    """
    runs: dict[Training, _Run] = {}
    for job in jobs:
        try:
            run = _Run(job, dataset, device, checkpoint_seconds)
            if run.training is None or run.training.done:
                ended(job, run.finish())
            else:
                runs[run.training] = run
        except Exception as error:  # Whatever one dies of, the others go on.
            ended(job, error)

    def after_epoch(training: Training, outcome: Outcome) -> bool:
        run = runs[training]
        try:
            if isinstance(outcome, Diverged):
                ended(run.job, run.diverge())
            elif not run.after_epoch(outcome):
                ended(run.job, Interrupted(f"stopped after epoch {outcome.epoch} of {run.job.stage.epochs}"))
                return False
            elif training.done:
                ended(run.job, run.finish())
        except Exception as error:  # As above.
            ended(run.job, error)
            return False
        return True

    train(list(runs), after_epoch)


class _Run:
    """One stage on its way; training is None where what it is made from has diverged."""

    def __init__(self, job: Job, dataset: Dataset, device: torch.device, checkpoint_seconds: float) -> None:
        self.job = job
        self.training: Training | None = None
        self._dataset = dataset
        self._device = device
        self._checkpoint_seconds = checkpoint_seconds
        self._committed = 0
        self._saved_at = time.monotonic()
        if _starts_diverged(job.stage, job.weights):
            return
        self._layers, self._mask, self.training = _prepare(job.stage, dataset, job.weights, device)
        self._retention = Retention(job.stage, dataset, self._layers)
        state = _checkpoint(job.stage, job.weights)
        if state is not None:
            self.training.load(state)
            self._retention.load(state)
        self._committed = len(self.training.history)

    def after_epoch(self, row: Epoch) -> bool:
        """Tell of an epoch, and keep a checkpoint when it is time; False when asked to stop."""
        stage, training = self.job.stage, self._going
        go_on = self.job.observer.epoch(row, stage.epochs)
        self._retention.look(training, row.epoch)
        rewind = stage.kind == "pretrain" and row.epoch == stage.recipe.k
        if rewind or not go_on or time.monotonic() - self._saved_at >= self._checkpoint_seconds:
            self._checkpoint(rewind)
        # A stage that is asked to stop after its last epoch has reached its end.
        return go_on or training.done

    def diverge(self) -> StageResult:
        """Return the result of a training that has no end."""
        history = self._going.history
        self._commit()
        return _diverged(self.job.stage, self._device, history, len(history) + 1)

    def finish(self) -> StageResult:
        """Measure what was trained, keep it, and return the result."""
        stage, weights = self.job.stage, self.job.weights
        if self.training is None:
            self.job.observer.commit(())
            return _diverged(stage, self._device, (), 0)
        training, mask = self.training, self._mask
        begin = time.perf_counter()
        trained = training.weights()
        measured = {layer: trained[layer] for layer in self._layers}
        overlaps = _overlaps(stage, self._dataset, weights, measured, mask, self._device)
        measuring = time.perf_counter() - begin + self._retention.seconds
        self._commit()
        weights.save(stage.fingerprint, "trained", trained)
        if mask:
            weights.save(stage.fingerprint, "mask", mask)
        return StageResult(
            fingerprint=stage.fingerprint,
            epochs=tuple(training.history),
            sparsity=sparsity(mask) if mask else 0.0,
            seconds=sum(row.seconds for row in training.history) + measuring,
            device=_in_words(self._device),
            overlaps=overlaps,
            residuals=tuple(training.penalty.residuals) if training.penalty else (),
            versions=_versions(),
            retention=tuple(self._retention.rows),
        )

    @property
    def _going(self) -> Training:
        assert self.training is not None
        return self.training

    def _commit(self) -> None:
        self.job.observer.commit(self._going.history[self._committed :])
        self._committed = len(self._going.history)

    def _checkpoint(self, rewind: bool) -> None:
        stage, training, weights = self.job.stage, self._going, self.job.weights
        self._commit()
        if rewind:
            weights.save(stage.fingerprint, "rewind", training.weights())
        weights.save(stage.fingerprint, "checkpoint", {**training.state(), **self._retention.state()})
        self._saved_at = time.monotonic()


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
