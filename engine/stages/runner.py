"""Running stages: each is prepared, trained and measured, and its weights are saved."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import torch

from engine.dataset import Dataset
from engine.stages.run import Job, Observer, StageRun
from engine.stages.weights import Weights
from engine.study.plan import Stage
from engine.study.results import StageResult
from engine.training import concurrent
from engine.training.device import choose_algorithms, ran_out_of_memory
from engine.training.sgd import Training

# A finished stage has saved weights under these names, by its kind; its children may load them.
SAVED = {"pretrain": ("initial", "rewind", "trained"), "admm": ("trained",), "retrain": ("trained", "mask")}


def saved_weights(stage: Stage, result: StageResult) -> tuple[str, ...]:
    """Return the names of the weights that a finished stage has saved: none for one that diverged."""
    moved = ("movement",) if stage.movement else ()
    return (*SAVED[stage.kind], *moved) if result.diverged is None else ()


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
    each epoch with the number of stages that continue, if any; returns others of their shape that join them. On a GPU
    the saving and measuring after an epoch, the calls of ended, and the loading of those that join happen while it
    trains the next epoch of the others, and before that one is reported. If several run out of the device's memory,
    that error is raised; fewer at once can then resume those that have not ended.
    """
    runs: dict[Training, StageRun] = {}
    opened: set[Training] = set()
    waiting: deque[Callable[[], object]] = deque()
    several = len(jobs) > 1
    for job in jobs[:1]:
        # All are of one shape, and so of one network.
        choose_algorithms(job.stage.network)

    def fail(job: Job, error: Exception) -> None:
        if several and ran_out_of_memory(error):
            # Fewer trainings at once may fit, so the error is not of this stage.
            raise error
        ended(job, error)

    def begin(jobs: Sequence[Job]) -> list[Training]:
        begun: list[Training] = []
        for job in jobs:
            try:
                run = StageRun(job, dataset, device, checkpoint_seconds, lambda: len(runs))
                result = run.finish() if run.training is None or run.training.done else None
            except Exception as error:  # Any error ends only its own stage.
                fail(job, error)
                continue
            if result is not None:
                ended(job, result)
            elif run.training is not None:
                runs[run.training] = run
                opened.add(run.training)
                begun.append(run.training)
        return begun

    def close(training: Training) -> None:
        # Those that join need its memory and its stream, before its weights are saved.
        if training in opened:
            opened.discard(training)
            training.close()

    def after_epoch(training: Training, trained: concurrent.EpochOutcome) -> bool:
        try:
            goes_on = runs[training].after_epoch(trained)
        except Exception as error:  # Any error ends only its own stage.
            close(training)
            fail(runs.pop(training).job, error)
            return False
        meanwhile = training.concurrent
        if not goes_on:
            close(training)
        if meanwhile:
            waiting.append(partial(settle, training))
            return goes_on
        settle(training)
        return training in runs

    def settle(training: Training) -> None:
        run = runs[training]
        try:
            outcome = run.settle()
        except Exception as error:  # Any error ends only its own stage.
            if training in opened and training.concurrent:
                # The device trains its next epoch already, after which the stage ends.
                run.error = error
                return
            close(training)
            fail(runs.pop(training).job, error)
            return
        if outcome is not None:
            ended(runs.pop(training).job, outcome)

    def join(going: int) -> list[Training]:
        nonlocal several
        joining = more(going)
        several = several or bool(joining)
        return begin(joining)

    try:
        concurrent.train(begin(jobs), after_epoch, join, waiting)
    finally:
        for training in [*opened]:
            close(training)
