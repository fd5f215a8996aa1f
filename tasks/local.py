"""Running a whole study in one place, without Redis and DuckDB: what `python -m tasks run` does."""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any, Protocol

import torch

from data.artifacts import Artifacts
from data.loading import load_images
from engine.allocation import keep_freed_memory
from engine.dataset import Dataset
from engine.plan import Images, Plan, Stage
from engine.results import Epoch, StageResult
from engine.stages import Interrupted, run_stage
from tasks.process import tie_to_parent

# Told of each epoch: the stage's fingerprint and how many of its epochs are done.
Report = Callable[[str, int], None]


class StageFailed(RuntimeError):
    """Stages could not be trained; the text says which and why."""


class Stopped(RuntimeError):
    """Asked to stop: what was in training is kept, and goes on when the study is run again."""


class Flag(Protocol):
    """An event of `threading` or of `multiprocessing`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...


class _Bench:
    """What one process needs to train stages."""

    def __init__(self, artifacts: str, home: Path, device: str, threads: int, report: Report, stopping: Flag) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        self._artifacts = Artifacts(artifacts)
        self._home = home
        self._device = torch.device(device)
        self._report = report
        self._stopping = stopping
        self._loaded: tuple[Images, Dataset] | None = None

    def train(self, stage: Stage) -> None:
        """Train one stage and keep its result."""
        if self._loaded is None or self._loaded[0] != stage.images:
            self._loaded = (stage.images, load_images(stage.images, self._home))
        observer = _Observer(stage.fingerprint, self._report, self._stopping)
        result = run_stage(stage, self._loaded[1], self._artifacts, self._device, observer)
        self._artifacts.finish(stage.fingerprint, result)
        self._artifacts.delete(stage.fingerprint, "checkpoint")
        if result.diverged is not None:
            # The epochs that are left will not come.
            self._report(stage.fingerprint, stage.epochs)


class _Observer:
    """An `engine.stages.Observer` that passes epochs on and stops when told to."""

    def __init__(self, fingerprint: str, report: Report, stopping: Flag) -> None:
        self._fingerprint = fingerprint
        self._report = report
        self._stopping = stopping

    def epoch(self, row: Epoch, total: int) -> bool:
        """Pass on how far the stage is."""
        del total
        self._report(self._fingerprint, row.epoch)
        return not self._stopping.is_set()

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Let the checkpoint be written: nobody else trains this stage."""
        del rows


def run(
    plan: Plan, artifacts: str, home: Path, devices: Sequence[str], threads: int, report: Report
) -> dict[str, StageResult]:
    """Train every stage of a plan that is not done yet, and return the results of all.

    artifacts: the URL that keeps weights and results. devices: that of each process; a single one trains in this
    process. Independent stages give the same numbers wherever they run, so the number of processes changes nothing.
    Raises Stopped after SIGINT or SIGTERM, and StageFailed once everything that does not hang on a failure is done.
    """
    kept = Artifacts(artifacts)
    finished = kept.finished() & plan.stages.keys()
    for fingerprint in finished:
        report(fingerprint, plan.stages[fingerprint].epochs)
    if len(finished) < len(plan.stages):
        train = _train_here if len(devices) == 1 else _train_spread
        train(plan, finished, artifacts, home, devices, threads, report)
    results = {fingerprint: kept.result(fingerprint) for fingerprint in plan.stages}
    return {fingerprint: result for fingerprint, result in results.items() if result is not None}


def _train_here(
    plan: Plan, finished: set[str], artifacts: str, home: Path, devices: Sequence[str], threads: int, report: Report
) -> None:
    stopping = threading.Event()
    bench = _Bench(artifacts, home, devices[0], threads, report, stopping)

    def submit(stage: Stage) -> Future[None]:
        future: Future[None] = Future()
        try:
            bench.train(stage)
            future.set_result(None)
        except Exception as error:  # Handed on, as from another process.
            future.set_exception(error)
        return future

    with _stopped_by_signals(stopping):
        _schedule(plan, finished, submit, 1, stopping, lambda: None)


def _train_spread(
    plan: Plan, finished: set[str], artifacts: str, home: Path, devices: Sequence[str], threads: int, report: Report
) -> None:
    # Spawned: a fork of a process that has used PyTorch hangs.
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

    arguments = (artifacts, home, places, threads, epochs, stopping)
    with (
        _stopped_by_signals(stopping),
        ProcessPoolExecutor(len(devices), context, initializer=_set_up, initargs=arguments) as pool,
    ):
        _schedule(plan, finished, lambda stage: pool.submit(_train, stage), len(devices), stopping, listen)


def _schedule(
    plan: Plan,
    finished: set[str],
    submit: Callable[[Stage], Future[None]],
    at_once: int,
    stopping: Flag,
    listen: Callable[[], None],
) -> None:
    """Submit stages as their parents finish, in the order of the plan, until all are done or nothing more can be."""
    ready = deque(
        stage
        for fingerprint, stage in plan.stages.items()
        if fingerprint not in finished and (stage.parent is None or stage.parent in finished)
    )
    running: dict[Future[None], Stage] = {}
    failures: list[str] = []
    while running or (ready and not stopping.is_set()):
        while ready and len(running) < at_once and not stopping.is_set():
            stage = ready.popleft()
            running[submit(stage)] = stage
        for future in wait(running, timeout=0.1, return_when=FIRST_COMPLETED).done:
            stage = running.pop(future)
            error = future.exception()
            if error is None:
                finished.add(stage.fingerprint)
                ready += [plan.stages[child] for child in plan.children[stage.fingerprint] if child not in finished]
            elif isinstance(error, BrokenProcessPool):
                raise StageFailed(
                    f"a process died while {at_once} trained at once; perhaps memory ran out: give a smaller --jobs"
                )
            elif not isinstance(error, Interrupted):
                failures.append(f"{stage.kind} {stage.fingerprint}: {type(error).__name__}: {error}")
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


_bench: _Bench


def _set_up(
    artifacts: str, home: Path, places: "Queue[str]", threads: int, epochs: "Queue[tuple[str, int]]", stopping: Any
) -> None:
    """Make a spawned process ready; Ctrl-C reaches it too, but the process that spawned it decides."""
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _bench
    _bench = _Bench(artifacts, home, places.get(), threads, lambda *told: epochs.put(told), stopping)


def _train(stage: Stage) -> None:
    _bench.train(stage)
