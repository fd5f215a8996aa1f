"""One stage in training: what is reported, measured and saved after each of its epochs."""

import logging
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from engine.training.concurrent import EpochOutcome
from engine.training.sgd import Diverged, Training

log = logging.getLogger(__name__)

# The checkpoints of all stages that a worker trains concurrently may take this share of its time.
CHECKPOINT_SHARE = 0.02
# Without a limit, in seconds, one slow write would stretch the pause between two checkpoints too far.
LONGEST_PAUSE = 120.0


class Interrupted(Exception):
    """The observer asked to stop; the checkpoint is written, and any worker can resume the stage."""


class Observer(Protocol):
    """Receives the progress of a stage. Each method may raise to abandon the stage."""

    def epoch(self, row: Epoch, total: int) -> bool:
        """Receive a new epoch; return False to write a checkpoint and stop."""
        ...

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Record the epochs since the last commit; weights and checkpoints are written only after this has returned."""
        ...

    def without_graphs(self, why: str) -> None:
        """Receive, once, why the stage is trained without CUDA graphs, more slowly than the device could."""
        ...


@dataclass(frozen=True)
class Job:
    """A stage to run, the store of its weights, and the observer of its progress."""

    stage: Stage
    weights: Weights
    observer: Observer


def pause(requested: float, saving: float) -> float:
    """Return the seconds from one checkpoint to the next: the requested ones, or more if saving takes too long."""
    return max(requested, min(saving / CHECKPOINT_SHARE, LONGEST_PAUSE))


class StageRun:
    """A stage that is being trained; training is None if its parent diverged.

    error: what ends the stage after the epoch that the device trains already.
    """

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
        self.error: Exception | None = None
        self._reported_slow = False
        self._due: list[Callable[[], StageResult | Exception | None]] = []
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

    def after_epoch(self, trained: EpochOutcome) -> bool:
        """Report an epoch, and return whether the stage goes on to the next.

        What needs the weights between the two epochs is done or copied here, and `settle` does the rest. Raises what
        the last `settle` raised.
        """
        stage, training = self.job.stage, self._active
        if self.error is not None:
            raise self.error
        if isinstance(trained, Diverged):
            self._due.append(self._diverged)
            return False
        if training.not_recorded is not None and not self._reported_slow:
            self._reported_slow = True
            self.job.observer.without_graphs(training.not_recorded)
        go_on = self.job.observer.epoch(trained, stage.epochs)
        if (count := self._retention.measure(training, trained.epoch)) is not None:
            self._due.append(count)
        rewind = stage.kind == "pretrain" and trained.epoch == stage.recipe.k
        if rewind or not go_on or time.monotonic() - self._saved_at >= self._pause:
            weights = training.weights() if rewind else None
            self._due.append(partial(self._checkpoint, training.state(), weights))
        # After the last epoch the stage has ended, even if it is asked to stop.
        if training.done:
            self._due.append(self.finish)
        elif not go_on:
            self._due.append(lambda: Interrupted(f"stopped after epoch {trained.epoch} of {stage.epochs}"))
        return go_on and not training.done

    def settle(self) -> StageResult | Exception | None:
        """Measure and save what the last epoch left; return how the stage ended, None while it continues."""
        outcome = None
        while self._due:
            outcome = self._due.pop(0)()
        return outcome

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

    def _diverged(self) -> StageResult:
        self._commit()
        history = self._active.history
        return _diverged(self.job.stage, self._device, history, len(history) + 1)

    def _checkpoint(self, state: State, rewind: State | None) -> None:
        stage, weights = self.job.stage, self.job.weights
        begin = time.monotonic()
        self._commit()
        if rewind is not None:
            weights.save(stage.fingerprint, "rewind", rewind)
        weights.save(stage.fingerprint, "checkpoint", {**state, **self._retention.state()})
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
