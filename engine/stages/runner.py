"""Run one stage: load what it starts from, train it, measure it, and save its weights."""

import logging
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from engine.dataset import Dataset
from engine.masks import content_hash, sparsity
from engine.stages import measure
from engine.stages.measure import Retention
from engine.stages.prepare import prepare
from engine.stages.starts import State
from engine.stages.support import support_of
from engine.stages.weights import Weights, WeightsLost
from engine.study.plan import ENGINE_VERSION, Stage
from engine.study.results import Epoch, StageResult
from engine.training import concurrent
from engine.training.device import ran_out_of_memory
from engine.training.sgd import Diverged, Training

log = logging.getLogger(__name__)

# The share of a worker's time for the checkpoints of all stages that it trains side by side.
CHECKPOINT_SHARE = 0.02
# The most seconds between two checkpoints: after one slow write the pause would grow without end.
LONGEST_PAUSE = 120.0


class Interrupted(Exception):
    """The observer asked to stop; the checkpoint is written and the stage can be resumed anywhere."""


# The names of the weights that a finished stage has saved, by its kind; its children may load them.
KEPT = {"pretrain": ("initial", "rewind", "trained"), "admm": ("trained",), "retrain": ("trained", "mask")}


def kept(stage: Stage, result: StageResult) -> tuple[str, ...]:
    """Return the names of the weights that a finished stage has saved: none for one that diverged."""
    return KEPT[stage.kind] if result.diverged is None else ()


class Observer(Protocol):
    """Receives the progress of a stage. Either method may raise to abandon the stage."""

    def epoch(self, row: Epoch, total: int) -> bool:
        """Receive an epoch just trained; return False to write a checkpoint and stop."""
        ...

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Record the epochs since the last commit; anything is written only after this has returned."""
        ...


@dataclass(frozen=True)
class Job:
    """A stage to run, the store of its tensors, and the observer of its progress."""

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
    more: Callable[[int], Sequence[Job]] = lambda going: (),
) -> None:
    """Run stages side by side on one device, each as `run_stage` would.

    ended: called as each ends, with its result or with what `run_stage` would raise; the others go on. more: called
    after each epoch with the number of those that go on, if any; returns others of their shape that join them.
    Where there are several, raises what says that the device's memory ran out; those that have not ended can be
    resumed, fewer at once.
    """
    runs: dict[Training, _Run] = {}
    several = len(jobs) > 1

    def fail(job: Job, error: Exception) -> None:
        if several and ran_out_of_memory(error):
            # Fewer trainings at once may fit, so the error is not of this stage.
            raise error
        ended(job, error)

    def begin(jobs: Sequence[Job]) -> list[Training]:
        begun: list[Training] = []
        for job in jobs:
            try:
                run = _Run(job, dataset, device, checkpoint_seconds, lambda: len(runs))
                result = run.finish() if run.training is None or run.training.done else None
            except Exception as error:  # Whatever error ends one stage, the others go on.
                fail(job, error)
                continue
            if result is not None:
                ended(job, result)
            elif run.training is not None:
                runs[run.training] = run
                begun.append(run.training)
        return begun

    def close(training: Training) -> Job:
        training.close()
        return runs.pop(training).job

    def after_epoch(training: Training, trained: concurrent.Outcome) -> bool:
        try:
            outcome = runs[training].after_epoch(trained)
        except Exception as error:  # Each stage ends with its own error.
            fail(close(training), error)
            return False
        if outcome is not None:
            ended(close(training), outcome)
        return outcome is None

    def join(going: int) -> list[Training]:
        nonlocal several
        joining = more(going)
        several = several or bool(joining)
        return begin(joining)

    try:
        concurrent.train(begin(jobs), after_epoch, join)
    finally:
        for training in runs:
            training.close()


def pause(wanted: float, took: float) -> float:
    """Return the seconds from one checkpoint to the next: those wanted, or more where writing takes much of them."""
    return max(wanted, min(took / CHECKPOINT_SHARE, LONGEST_PAUSE))


class _Run:
    """A stage that is being trained; training is None where the stage that it is made from has diverged."""

    def __init__(
        self, job: Job, dataset: Dataset, device: torch.device, checkpoint_seconds: float, going: Callable[[], int]
    ) -> None:
        self.job = job
        self.training: Training | None = None
        self._dataset = dataset
        self._device = device
        self._checkpoint_seconds = checkpoint_seconds
        self._going_at_once = going
        self._committed = 0
        self._saved_at, self._saving_took = time.monotonic(), 0.0
        if _starts_diverged(job.stage, job.weights):
            return
        self._layers, self._mask, self.training = prepare(job.stage, dataset, job.weights, device)
        self._retention = Retention(job.stage, job.weights, self._layers)
        state = _kept_checkpoint(job.stage, job.weights)
        if state is not None:
            self.training.load(state)
            self._retention.load(state)
        self._committed = len(self.training.history)

    def after_epoch(self, trained: concurrent.Outcome) -> StageResult | Exception | None:
        """Report an epoch, and save a checkpoint when it is time; return how the stage ended, None where it goes on."""
        stage, training = self.job.stage, self._going
        if isinstance(trained, Diverged):
            self._commit()
            return _diverged(stage, self._device, training.history, len(training.history) + 1)
        go_on = self.job.observer.epoch(trained, stage.epochs)
        self._retention.measure(training, trained.epoch)
        rewind = stage.kind == "pretrain" and trained.epoch == stage.recipe.k
        if rewind or not go_on or time.monotonic() - self._saved_at >= self._pause:
            self._checkpoint(rewind)
        # A stage that is asked to stop after its last epoch has reached its end.
        if training.done:
            return self.finish()
        return None if go_on else Interrupted(f"stopped after epoch {trained.epoch} of {stage.epochs}")

    def finish(self) -> StageResult:
        """Measure the trained network, save its weights, and return the result."""
        stage, weights = self.job.stage, self.job.weights
        if self.training is None:
            self.job.observer.commit(())
            return _diverged(stage, self._device, (), 0)
        training, mask = self.training, self._mask
        begin = time.perf_counter()
        trained = training.weights()
        measured = {layer: trained[layer] for layer in self._layers}
        overlaps = measure.overlaps(stage, self._dataset, weights, measured, mask, self._device)
        support = support_of(stage, weights, trained, self._layers, training) if stage.kind == "admm" else None
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
            mask=content_hash(mask) if mask else None,
            support=support,
        )

    @property
    def _pause(self) -> float:
        """Seconds from this stage's last checkpoint to its next."""
        return pause(self._checkpoint_seconds, self._saving_took * self._going_at_once())

    @property
    def _going(self) -> Training:
        assert self.training is not None
        return self.training

    def _commit(self) -> None:
        self.job.observer.commit(self._going.history[self._committed :])
        self._committed = len(self._going.history)

    def _checkpoint(self, rewind: bool) -> None:
        stage, training, weights = self.job.stage, self._going, self.job.weights
        begin = time.monotonic()
        self._commit()
        if rewind:
            weights.save(stage.fingerprint, "rewind", training.weights())
        weights.save(stage.fingerprint, "checkpoint", {**training.state(), **self._retention.state()})
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - begin


def _kept_checkpoint(stage: Stage, weights: Weights) -> State | None:
    if not weights.exists(stage.fingerprint, "checkpoint"):
        return None
    try:
        return weights.load(stage.fingerprint, "checkpoint")
    except WeightsLost as error:
        # A checkpoint only saves time: without it the stage is trained from its start, to the same numbers.
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
