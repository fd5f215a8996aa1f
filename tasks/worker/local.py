"""Training a whole study on one machine without Redis and DuckDB, as `python -m tasks run` does."""

import math
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any, Protocol

import torch

from data.artifacts.store import Artifacts
from data.datasets.loading import load_images
from data.settings import Settings
from engine.capacity import STREAMS
from engine.dataset import Dataset
from engine.errors import UserError
from engine.stages.complete import complete
from engine.stages.runner import Interrupted, Job, run_stages
from engine.study.plan import Images, Plan, Stage
from engine.study.results import Epoch, StageResult
from engine.training.device import get_ready, ran_out_of_memory
from tasks.process import tie_to_parent
from tasks.worker.capacity import Capacities
from tasks.worker.devices import threads

# Called after each epoch with the stage's fingerprint and the number of its epochs that are done.
Report = Callable[[str, int], None]
# The end of each stage by fingerprint: None if it is done, else why it failed. A stage still to be trained is absent.
Ends = dict[str, str | None]


class StageFailed(UserError):
    """Some stages could not be trained; the message says which and why."""


class Stopped(RuntimeError):
    """A signal asked to stop: stages in training are saved, and resume when the study is run again."""


class Flag(Protocol):
    """An event of `threading` or of `multiprocessing`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...


class _LocalTrainer:
    """Trains stages in this process."""

    def __init__(
        self, config: Settings, artifacts: str, device: str, threads: int, report: Report, stopping: Flag
    ) -> None:
        self._device = torch.device(device)
        get_ready(self._device, threads)
        self._artifacts = Artifacts(artifacts)
        self._home = config.home
        self._capacities = Capacities(self._device, config.together)
        self._report = report
        self._stopping = stopping
        self._loaded: tuple[Images, Dataset] | None = None

    def train(self, stages: Sequence[Stage]) -> Ends:
        """Train the first of some stages of one shape, as many side by side as are fastest, and save the results."""
        ends: Ends = {}
        jobs = [self._job(stage) for stage in stages]

        def end(job: Job, outcome: StageResult | Exception) -> None:
            try:
                self._save(job.stage, outcome)
                ends[job.stage.fingerprint] = None
            except Interrupted:
                return
            except Exception as error:  # Reported once all other stages are done.
                ends[job.stage.fingerprint] = f"{type(error).__name__}: {error}"

        try:
            dataset = self._dataset(stages[0].images)
            jobs = jobs[: self._capacities.of(stages[0], dataset).fastest]
            run_stages(jobs, dataset, self._device, end)
        except Exception as error:  # Reported likewise.
            if len(jobs) > 1 and ran_out_of_memory(error):
                self._capacities.shrink(stages[0], len(jobs))
            else:
                for job in jobs:
                    end(job, error)
        return ends

    def _job(self, stage: Stage) -> Job:
        return Job(stage, self._artifacts, _Observer(stage.fingerprint, self._report, self._stopping))

    def _dataset(self, images: Images) -> Dataset:
        if self._loaded is None or self._loaded[0] != images:
            self._loaded = (images, load_images(images, self._home))
        return self._loaded[1]

    def _save(self, stage: Stage, outcome: StageResult | Exception) -> None:
        if isinstance(outcome, Exception):
            raise outcome
        self._artifacts.finish(stage.fingerprint, outcome)
        self._artifacts.delete(stage.fingerprint, "checkpoint")
        if outcome.diverged is not None:
            # Its remaining epochs are not trained.
            self._report(stage.fingerprint, stage.epochs)


class _Observer:
    """An `engine.stages.runner.Observer` that reports epochs and stops with its process."""

    def __init__(self, fingerprint: str, report: Report, stopping: Flag) -> None:
        self._fingerprint = fingerprint
        self._report = report
        self._stopping = stopping

    def epoch(self, row: Epoch, total: int) -> bool:
        """Report the number of epochs that are done."""
        del total
        self._report(self._fingerprint, row.epoch)
        return not self._stopping.is_set()

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Do nothing: nobody else trains this stage, so its checkpoint may be written."""
        del rows


def run(plan: Plan, artifacts: str, config: Settings, devices: Sequence[str], report: Report) -> dict[str, StageResult]:
    """Train each stage of a plan that is not done yet, and return all results, older ones completed.

    artifacts: the URL of weights and results. devices: one for each process; a single one trains in this process.
    A stage gives the same numbers in any process, and whatever is trained beside it. Raises Stopped after SIGINT or
    SIGTERM, and StageFailed once all stages that do not depend on a failed one are done.
    """
    store = Artifacts(artifacts)
    finished = store.finished() & plan.stages.keys()
    for fingerprint in finished:
        report(fingerprint, plan.stages[fingerprint].epochs)
    if len(finished) < len(plan.stages):
        train = _train_here if len(devices) == 1 else _train_spread
        train(plan, finished, artifacts, config, devices, report)
    results = {fingerprint: _completed(store, stage) for fingerprint, stage in plan.stages.items()}
    return {fingerprint: result for fingerprint, result in results.items() if result is not None}


def _completed(artifacts: Artifacts, stage: Stage) -> StageResult | None:
    """Return a stage's result; a result of an older version is completed from the weights that still exist."""
    result = artifacts.result(stage.fingerprint)
    completed = None if result is None else complete(stage, result, artifacts)
    if completed is None or completed is result:
        return result
    artifacts.finish(stage.fingerprint, completed)
    return completed


def _train_here(
    plan: Plan, finished: set[str], artifacts: str, config: Settings, devices: Sequence[str], report: Report
) -> None:
    stopping = threading.Event()
    trainer = _LocalTrainer(config, artifacts, devices[0], threads(config.threads, 1), report, stopping)

    def submit(stages: Sequence[Stage]) -> Future[Ends]:
        future: Future[Ends] = Future()
        future.set_result(trainer.train(stages))
        return future

    with _stopped_by_signals(stopping):
        _schedule(plan, finished, submit, 1, config.together or STREAMS, stopping, lambda: None)


def _train_spread(
    plan: Plan, finished: set[str], artifacts: str, config: Settings, devices: Sequence[str], report: Report
) -> None:
    # Spawned, since a fork of a process that has used PyTorch hangs.
    context = multiprocessing.get_context("spawn")
    places: Queue[str] = context.Queue()
    for device in devices:
        places.put(device)
    epochs: Queue[tuple[str, int]] = context.Queue()
    stopping = context.Event()

    def listen() -> None:
        try:
            while True:
                report(*epochs.get_nowait())
        except Empty:
            return

    arguments = (config, artifacts, places, threads(config.threads, len(devices)), epochs, stopping)
    with (
        _stopped_by_signals(stopping),
        ProcessPoolExecutor(len(devices), context, initializer=_set_up, initargs=arguments) as pool,
    ):
        most = config.together or STREAMS
        _schedule(plan, finished, lambda stages: pool.submit(_train, stages), len(devices), most, stopping, listen)


def _schedule(
    plan: Plan,
    finished: set[str],
    submit: Callable[[Sequence[Stage]], Future[Ends]],
    at_once: int,
    most: int,
    stopping: Flag,
    listen: Callable[[], None],
) -> None:
    """Submit stages in the order of the plan as their parents finish, until all are done or none can begin.

    at_once: number of processes. most: stages of one shape submitted to one process at once, never more than its fair
    share; it trains as many of them side by side as are fastest, and hands back the others.
    """
    ready = [
        stage
        for fingerprint, stage in plan.stages.items()
        if fingerprint not in finished and (stage.parent is None or stage.parent in finished)
    ]
    running: dict[Future[Ends], list[Stage]] = {}
    failures: list[str] = []
    while running or (ready and not stopping.is_set()):
        while ready and len(running) < at_once and not stopping.is_set():
            alike = [stage for stage in ready if stage.shape == ready[0].shape]
            chosen = alike[: min(most, math.ceil(len(alike) / at_once))]
            taken = {stage.fingerprint for stage in chosen}
            ready = [stage for stage in ready if stage.fingerprint not in taken]
            running[submit(chosen)] = chosen
        for future in wait(running, timeout=0.1, return_when=FIRST_COMPLETED).done:
            submitted = running.pop(future)
            try:
                ends = future.result()
            except BrokenProcessPool:
                raise StageFailed(
                    f"a process died while {at_once} trained at once; perhaps memory ran out: give a smaller --jobs"
                ) from None
            ready = [stage for stage in submitted if stage.fingerprint not in ends] + ready
            for fingerprint, why in ends.items():
                if why is None:
                    finished.add(fingerprint)
                    ready += [plan.stages[child] for child in plan.children[fingerprint] if child not in finished]
                else:
                    failures.append(f"{plan.stages[fingerprint].kind} {fingerprint}: {why}")
        listen()
    if stopping.is_set():
        raise Stopped
    if failures:
        raise StageFailed("\n".join(failures))


@contextmanager
def _stopped_by_signals(stopping: Flag) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopping.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


_trainer: _LocalTrainer


def _set_up(
    config: Settings,
    artifacts: str,
    places: "Queue[str]",
    threads: int,
    epochs: "Queue[tuple[str, int]]",
    stopping: Any,
) -> None:
    """Set up a spawned process; Ctrl-C reaches it too, but the process that spawned it decides when to stop."""
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _trainer
    _trainer = _LocalTrainer(config, artifacts, places.get(), threads, lambda *epoch: epochs.put(epoch), stopping)


def _train(stages: Sequence[Stage]) -> Ends:
    return _trainer.train(stages)
