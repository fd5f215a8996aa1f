"""Running stages: each is prepared, trained and measured, and its weights are saved."""

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

# The checkpoints of all stages that a worker trains concurrently may take this share of its time.
CHECKPOINT_SHARE = 0.02
# Without a limit, in seconds, one slow write would stretch the pause between two checkpoints too far.
LONGEST_PAUSE = 120.0


class Interrupted(Exception):
    """The observer asked to stop; the checkpoint is written, and any worker can resume the stage."""


# A finished stage has saved weights under these names, by its kind; its children may load them.
SAVED = {"pretrain": ("initial", "rewind", "trained"), "admm": ("trained",), "retrain": ("trained", "mask")}


def saved_weights(stage: Stage, result: StageResult) -> tuple[str, ...]:
    """Return the names of the weights that a finished stage has saved: none for one that diverged."""
    moved = ("movement",) if stage.movement else ()
    return (*SAVED[stage.kind], *moved) if result.diverged is None else ()


class Observer(Protocol):
    """Receives the progress of a stage. Either method may raise to abandon the stage."""

    def epoch(self, row: Epoch, total: int) -> bool:
        """Receive a new epoch; return False to write a checkpoint and stop."""
        ...

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Record the epochs since the last commit; weights and checkpoints are written only after this has returned."""
        ...


@dataclass(frozen=True)
class Job:
    """A stage to run, the store of its weights, and the observer of its progress."""

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
    """Train and measure a stage, from its checkpoint if there is one, save the weights of SAVED, and return the result.

    If a loss is not finite, or the parent's was not, the result reports it (see `StageResult.diverged`) and no trained
    weights are saved. A damaged checkpoint counts as none. Raises Interrupted when the observer asks to stop,
    WeightsLost where weights of its root or parent are lost, and whatever else weights and observer raise.
    """
    outcomes: list[StageResult | Exception] = []
    job = Job(stage, weights, observer)
    run_stages([job], dataset, device, lambda job, outcome: outcomes.append(outcome), checkpoint_seconds)
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
    """Run stages concurrently on one device, each as `run_stage` would.

    ended: called as each stage ends, with its result or with the error that `run_stage` would raise. more: called after
    each epoch with the number of stages that continue, if any; returns others of their shape that join them.
    If several run out of the device's memory, that error is raised; fewer at once can then resume those that have not
    ended.
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
            except Exception as error:  # Any error ends only its own stage.
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

    def after_epoch(training: Training, trained: concurrent.EpochOutcome) -> bool:
        try:
            outcome = runs[training].after_epoch(trained)
        except Exception as error:  # Any error ends only its own stage.
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


def pause(requested: float, saving: float) -> float:
    """Return the seconds from one checkpoint to the next: the requested ones, or more if saving takes too long."""
    return max(requested, min(saving / CHECKPOINT_SHARE, LONGEST_PAUSE))


class _Run:
    """A stage that is being trained; training is None if its parent diverged."""

    def __init__(
        self,
        job: Job,
        dataset: Dataset,
        device: torch.device,
        checkpoint_seconds: float,
        concurrent_stages: Callable[[], int],
    ) -> None:
        self.job = job
        self.training: Training | None = None
        self._dataset = dataset
        self._device = device
        self._checkpoint_seconds = checkpoint_seconds
        self._concurrent_stages = concurrent_stages
        self._committed = 0
        self._saved_at, self._saving_took = time.monotonic(), 0.0
        parent = None if job.stage.parent is None else job.weights.result(job.stage.parent)
        if parent is not None and parent.diverged is not None:
            return
        self._layers, self._mask, self.training = prepare(job.stage, dataset, job.weights, device)
        self._retention = Retention(job.stage, job.weights, self._layers)
        state = _saved_checkpoint(job.stage, job.weights)
        if state is not None:
            self.training.load(state)
            self._retention.load(state)
        self._committed = len(self.training.history)

    def after_epoch(self, trained: concurrent.EpochOutcome) -> StageResult | Exception | None:
        """Report an epoch, and save a checkpoint if one is due; return how the stage ended, None while it continues."""
        stage, training = self.job.stage, self._active
        if isinstance(trained, Diverged):
            self._commit()
            return _diverged(stage, self._device, training.history, len(training.history) + 1)
        go_on = self.job.observer.epoch(trained, stage.epochs)
        self._retention.measure(training, trained.epoch)
        rewind = stage.kind == "pretrain" and trained.epoch == stage.recipe.k
        if rewind or not go_on or time.monotonic() - self._saved_at >= self._pause:
            self._checkpoint(rewind)
        # After the last epoch the stage has ended, even if it is asked to stop.
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
        kernels = {layer: trained[layer] for layer in self._layers}
        overlaps = measure.overlaps(stage, self._dataset, weights, kernels, mask, self._device)
        support = support_of(stage, weights, trained, self._layers, training) if stage.kind == "admm" else None
        measuring = time.perf_counter() - begin + self._retention.seconds
        self._commit()
        weights.save(stage.fingerprint, "trained", trained)
        if mask:
            weights.save(stage.fingerprint, "mask", mask)
        if stage.movement:
            weights.save(stage.fingerprint, "movement", training.flat_parameters.movement_of(self._layers))
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
        return pause(self._checkpoint_seconds, self._saving_took * self._concurrent_stages())

    @property
    def _active(self) -> Training:
        assert self.training is not None
        return self.training

    def _commit(self) -> None:
        self.job.observer.commit(self._active.history[self._committed :])
        self._committed = len(self._active.history)

    def _checkpoint(self, rewind: bool) -> None:
        stage, training, weights = self.job.stage, self._active, self.job.weights
        begin = time.monotonic()
        self._commit()
        if rewind:
            weights.save(stage.fingerprint, "rewind", training.weights())
        weights.save(stage.fingerprint, "checkpoint", {**training.state(), **self._retention.state()})
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - begin


def _saved_checkpoint(stage: Stage, weights: Weights) -> State | None:
    if not weights.exists(stage.fingerprint, "checkpoint"):
        return None
    try:
        return weights.load(stage.fingerprint, "checkpoint")
    except WeightsLost as error:
        # Without a checkpoint the stage is trained from its start, with the same numbers.
        log.warning("stage %s begins anew: %s", stage.fingerprint, error)
        return None


def _diverged(stage: Stage, device: torch.device, epochs: Sequence[Epoch], at: int) -> StageResult:
    """Return the result of a training that diverged: its finite epochs and no measurements; at: see `StageResult`."""
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
