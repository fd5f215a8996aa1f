"""Training a whole study on one machine without Redis and DuckDB, as `ticketscope run` does."""

import logging
import math
import multiprocessing
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any, NamedTuple, Protocol

import torch

from data.artifacts.store import Artifacts
from data.datasets.loading import load_images
from data.plugins import loading as plugins
from data.settings import Settings
from engine.dataset import Dataset
from engine.errors import UserError
from engine.stages.complete import complete
from engine.stages.run import Interrupted, Job
from engine.stages.runner import run_stages
from engine.study.plan import Images, Plan, Stage
from engine.study.results import Epoch, StageResult
from engine.training.capacity import STREAMS
from engine.training.device import get_ready, ran_out_of_memory
from tasks.process import stopped_by_signals, tie_to_parent
from tasks.worker.capacity import Capacities
from tasks.worker.devices import threads

log = logging.getLogger(__name__)

# Functions that are called after each epoch with the stage's fingerprint and its number of finished epochs, and once it
# has ended with None, or the reason why it failed.
EpochReport = Callable[[str, int], None]
EndReport = Callable[[str, str | None], None]
# By fingerprint, None for a finished stage or the reason why it failed. Stages that are still to be trained are absent.
Ends = dict[str, str | None]


class StageFailed(UserError):
    """Some stages could not be trained; the message says which and why."""


class Stopped(RuntimeError):
    """A signal stopped the run: stages in training are saved, and resume when the study is run again."""


class _Reports(NamedTuple):
    epoch: EpochReport
    ended: EndReport


class Flag(Protocol):
    """An event of `threading` or of `multiprocessing`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...


class _LocalTrainer:
    """Trains stages in this process."""

    def __init__(
        self, config: Settings, artifacts: str, device: str, threads: int, report: EpochReport, stopping: Flag
    ) -> None:
        self._device = torch.device(device)
        # A spawned process has loaded none yet.
        plugins.load(config)
        get_ready(self._device, threads)
        self._artifacts = Artifacts(artifacts)
        self._home = config.home
        self._capacities = Capacities(self._device, config.together, config.home)
        self._report = report
        self._stopping = stopping
        self._loaded: tuple[Images, Dataset] | None = None

    def train(self, stages: Sequence[Stage]) -> Ends:
        """Train the first of some stages of one shape, as many as are fastest side by side, and save the results."""
        ends: Ends = {}
        jobs = [self._job(stage) for stage in stages]

        def end(job: Job, outcome: StageResult | Exception) -> None:
            try:
                self._save(job.stage, outcome)
                ends[job.stage.fingerprint] = None
            except Interrupted:
                return
            except Exception as error:  # It is reported once all other stages are done.
                ends[job.stage.fingerprint] = f"{type(error).__name__}: {error}"

        try:
            dataset = self._dataset(stages[0].images)
            jobs = jobs[: self._capacities.of(stages[0], dataset).fastest]
            run_stages(jobs, dataset, self._device, end)
        except Exception as error:  # It is reported as the end of each stage.
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
            # The remaining epochs are not trained, but count as done.
            self._report(stage.fingerprint, stage.epochs)


class _Observer:
    """An `engine.stages.run.Observer` that reports epochs, and ends the training once `stopping` is set."""

    def __init__(self, fingerprint: str, report: EpochReport, stopping: Flag) -> None:
        self._fingerprint = fingerprint
        self._report = report
        self._stopping = stopping

    def epoch(self, row: Epoch, total: int) -> bool:
        """EpochReport the number of finished epochs; return False once the training has to stop."""
        del total
        self._report(self._fingerprint, row.epoch)
        return not self._stopping.is_set()

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Do nothing, since no other process trains this stage."""
        del rows

    def without_graphs(self, why: str) -> None:
        """Log that the stage is trained without CUDA graphs."""
        log.warning("stage %s trains without CUDA graphs, more slowly: %s", self._fingerprint, why)


def run(
    plan: Plan,
    artifacts: str,
    config: Settings,
    devices: Sequence[str],
    report: EpochReport,
    ended: EndReport = lambda fingerprint, why: None,
) -> dict[str, StageResult]:
    """Train all stages of a plan that are not done yet, and return all results by fingerprint, older ones completed.

    artifacts: the URL of weights and results. devices: one for each process; with a single one, this process trains.
    ended: not called for stages that were done before. Processes and the stages trained beside it do not change a
    stage's result. Raises Stopped after SIGINT or SIGTERM, and StageFailed once all stages that do not depend on a
    failed one are done.
    """
    store = Artifacts(artifacts)
    finished = store.finished() & plan.stages.keys()
    for fingerprint in finished:
        report(fingerprint, plan.stages[fingerprint].epochs)
    if len(finished) < len(plan.stages):
        train = _train_here if len(devices) == 1 else _train_spread
        train(plan, finished, artifacts, config, devices, _Reports(report, ended))
    results = {fingerprint: _completed(store, stage) for fingerprint, stage in plan.stages.items()}
    return {fingerprint: result for fingerprint, result in results.items() if result is not None}


def _completed(artifacts: Artifacts, stage: Stage) -> StageResult | None:
    """Return a stage's result, completed from its weights if an older version saved it; None without a result."""
    result = artifacts.result(stage.fingerprint)
    completed = None if result is None else complete(stage, result, artifacts)
    if completed is None or completed is result:
        return result
    artifacts.finish(stage.fingerprint, completed)
    return completed


def _train_here(
    plan: Plan, finished: set[str], artifacts: str, config: Settings, devices: Sequence[str], reports: _Reports
) -> None:
    stopping = threading.Event()
    trainer = _LocalTrainer(config, artifacts, devices[0], threads(config.threads, 1), reports.epoch, stopping)

    def submit(stages: Sequence[Stage]) -> Future[Ends]:
        future: Future[Ends] = Future()
        future.set_result(trainer.train(stages))
        return future

    with stopped_by_signals(stopping.set):
        _schedule(plan, finished, submit, 1, config.together or STREAMS, stopping, lambda: None, reports.ended)


def _train_spread(
    plan: Plan, finished: set[str], artifacts: str, config: Settings, devices: Sequence[str], reports: _Reports
) -> None:
    # Processes are spawned, since a fork of a process that has used PyTorch hangs.
    context = multiprocessing.get_context("spawn")
    places: Queue[str] = context.Queue()
    for device in devices:
        places.put(device)
    epochs: Queue[tuple[str, int]] = context.Queue()
    stopping = context.Event()

    def listen() -> None:
        try:
            while True:
                reports.epoch(*epochs.get_nowait())
        except Empty:
            return

    arguments = (config, artifacts, places, threads(config.threads, len(devices)), epochs, stopping)
    with (
        stopped_by_signals(stopping.set),
        ProcessPoolExecutor(len(devices), context, initializer=_set_up, initargs=arguments) as pool,
    ):
        most, submit = config.together or STREAMS, lambda stages: pool.submit(_train, stages)
        _schedule(plan, finished, submit, len(devices), most, stopping, listen, reports.ended)


def _schedule(
    plan: Plan,
    finished: set[str],
    submit: Callable[[Sequence[Stage]], Future[Ends]],
    processes: int,
    most: int,
    stopping: Flag,
    listen: Callable[[], None],
    ended: EndReport,
) -> None:
    """Submit stages in the order of the plan once their parents are done, until all are done or none can begin.

    processes: the number of processes. most: the most stages of one shape that a process gets at once, never more than
    its fair share; it trains as many of them side by side as are fastest, and returns the others untrained. listen:
    called a few times a second.
    """
    ready = [
        stage
        for fingerprint, stage in plan.stages.items()
        if fingerprint not in finished and (stage.parent is None or stage.parent in finished)
    ]
    running: dict[Future[Ends], list[Stage]] = {}
    failures: list[str] = []
    while running or (ready and not stopping.is_set()):
        while ready and len(running) < processes and not stopping.is_set():
            alike = [stage for stage in ready if stage.shape == ready[0].shape]
            batch = alike[: min(most, math.ceil(len(alike) / processes))]
            submitted = {stage.fingerprint for stage in batch}
            ready = [stage for stage in ready if stage.fingerprint not in submitted]
            running[submit(batch)] = batch
        for future in wait(running, timeout=0.1, return_when=FIRST_COMPLETED).done:
            batch = running.pop(future)
            try:
                ends = future.result()
            except BrokenProcessPool:
                raise StageFailed(
                    f"one of {processes} processes died, perhaps because memory ran out; give a smaller --jobs"
                ) from None
            ready = [stage for stage in batch if stage.fingerprint not in ends] + ready
            for fingerprint, why in ends.items():
                ended(fingerprint, why)
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


_trainer: _LocalTrainer


def _set_up(
    config: Settings,
    artifacts: str,
    places: "Queue[str]",
    threads: int,
    epochs: "Queue[tuple[str, int]]",
    stopping: Any,
) -> None:
    """Prepare a spawned process, which ignores Ctrl-C: the process that spawned it decides when to stop."""
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _trainer
    _trainer = _LocalTrainer(config, artifacts, places.get(), threads, lambda *epoch: epochs.put(epoch), stopping)


def _train(stages: Sequence[Stage]) -> Ends:
    return _trainer.train(stages)
