"""Training a group of stages of one shape side by side, each of which may end before the others."""

import logging
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from data.artifacts.store import ArtifactLost, Artifacts, ArtifactsUnavailable
from data.datasets.loading import load_images
from data.datasets.source import DatasetError
from engine.dataset import Dataset
from engine.stages.run import Interrupted, Job
from engine.stages.runner import run_stages, saved_weights
from engine.stages.weights import WeightsLost
from engine.study.plan import Images, Stage
from engine.study.results import StageResult
from engine.training.device import ran_out_of_memory
from tasks import progress
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import LeaseLost, Message, Sharing, StageCancelled
from tasks.queue.timing import Timing
from tasks.worker.capacity import Capacities
from tasks.worker.engine_check import OtherEngine, check_engine
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.observer import LeasedObserver
from tasks.worker.report import Report
from tasks.worker.retrying_artifacts import RetryingArtifacts

ERROR_CHARACTERS = 10_000
# While none of its stages ends, a group searches for others that can join it four times in the duration of a lease; if
# no worker is idle, the stages of a dead worker wait until then.
SEARCHES_PER_LEASE = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerContext:
    """What a worker process trains with. name, host: those of the process. stopping: set once a signal stops it."""

    name: str
    host: str
    device: torch.device
    home: Path
    timing: Timing
    redis: Redis
    celery: Celery
    artifacts: Artifacts
    capacities: Capacities
    heartbeat: Heartbeat
    report: Report
    stopping: threading.Event

    @property
    def place(self) -> tuple[str, str, str, float]:
        """Worker, host, device and seconds of the lease, as the last arguments of `leases.claim`."""
        return self.name, self.host, str(self.device), self.timing.lease

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages to the workers."""
        celery_app.send(messages, self.celery)


class StageGroup:
    """Stages trained side by side; artifacts_unavailable: one was handed back as the artifact store does not answer."""

    def __init__(self, context: WorkerContext) -> None:
        self.artifacts_unavailable = False
        self._context = context
        self._claimed: dict[Message, tuple[Stage, RetryingArtifacts]] = {}
        # The key is a job, not a stage: a stage whose lease is lost may be claimed again before the loss is noticed.
        self._messages: dict[Job, Message] = {}
        # The time of the last search for stages that can join, and the number of jobs in training after it.
        self._searched_at = time.monotonic()
        self._running_then = 0

    def train(self, message: Message, stage: Stage) -> None:
        """Train a stage that this worker has claimed, and beside it queued stages of its shape, until all have ended.

        Raises RedisError or OperationalError if Redis does not answer.
        """
        jobs = self._begin([(message, stage)])
        if not jobs:
            return
        try:
            dataset = _dataset(stage.images, self._context.home, self._context.artifacts)
            jobs += self._begin(self._claim(stage, dataset, running=1))
            self._running_then = len(jobs)
            more = partial(self._join, stage, dataset)
            run_stages(jobs, dataset, self._context.device, self._ended, more=more)
        except (RedisError, OperationalError):
            raise
        except Exception as error:  # The error is recorded with the stages, and the worker goes on.
            outcome = error
            if len(self._claimed) > 1 and ran_out_of_memory(error):
                self._context.capacities.shrink(stage, len(self._claimed))
                outcome = Interrupted(f"memory ran out beside others: {error}")
            for claimed in list(self._claimed):
                self._end(claimed, outcome)

    def _begin(self, claimed: Sequence[tuple[Message, Stage]]) -> list[Job]:
        """Return the jobs of claimed stages, and end those stages that have a result already or cannot begin."""
        context, jobs = self._context, []
        for message, stage in claimed:
            artifacts = self._artifacts_for(message)
            self._claimed[message] = stage, artifacts
            context.heartbeat.hold(*self._claimed)
            try:
                check_engine(stage, message.fingerprint)
                result = _earlier_result(stage, artifacts)
            except Exception as error:  # The error is recorded with the stage.
                self._end(message, error)
                continue
            if result is not None:
                self._end(message, result)
                continue
            log.debug("stage %s begins, attempt %d", message.fingerprint, message.attempt)
            context.report.begins(message, stage)
            trained = partial(self._trained, message.fingerprint)
            slow = partial(context.heartbeat.slow, message.fingerprint)
            place = context.name, context.timing, context.stopping
            observer = LeasedObserver(context.redis, message, *place, trained, slow)
            jobs.append(Job(stage, artifacts, observer))
            self._messages[jobs[-1]] = message
        return jobs

    def _trained(self, fingerprint: str, epoch: int) -> None:
        self._context.heartbeat.count_epoch()
        self._context.report.epoch(fingerprint, epoch)

    def _claim(
        self, stage: Stage, dataset: Dataset, running: int, joining: bool = False
    ) -> list[tuple[Message, Stage]]:
        """Claim queued stages of a stage's shape; running: the number of such stages that are in training here."""
        capacity = self._context.capacities.of(stage, dataset)
        if running >= capacity.most:
            return []
        workers = telemetry.workers(self._context.redis)
        idle = sum(worker.state == "idle" for worker in workers)
        sharing = Sharing(running, joining, len(workers), idle)
        return leases.claim_alike(self._context.redis, stage, capacity, sharing, *self._context.place)

    def _join(self, stage: Stage, dataset: Dataset, running: int) -> list[Job]:
        """Return the jobs of queued stages that join the group, such as in place of stages that ended."""
        if self.artifacts_unavailable or self._context.stopping.is_set():
            return []
        between = self._context.timing.lease / SEARCHES_PER_LEASE
        if running >= self._running_then and time.monotonic() - self._searched_at < between:
            return []
        joining = self._begin(self._claim(stage, dataset, running, joining=True))
        self._running_then, self._searched_at = running + len(joining), time.monotonic()
        return joining

    def _ended(self, job: Job, outcome: StageResult | Exception) -> None:
        self._end(self._messages.pop(job), outcome)

    def _end(self, message: Message, outcome: StageResult | Exception) -> None:
        self._context.send(self._messages_after(message, *self._claimed.pop(message), outcome))
        self._context.heartbeat.hold(*self._claimed)

    def _messages_after(
        self, message: Message, stage: Stage, artifacts: RetryingArtifacts, outcome: StageResult | Exception
    ) -> list[Message]:
        """Record how a stage ended, and return the messages to send afterwards."""
        redis, report = self._context.redis, self._context.report
        try:
            if isinstance(outcome, Exception):
                raise outcome
            artifacts.finish(message.fingerprint, outcome)
            artifacts.delete(message.fingerprint, "checkpoint")
            ready = leases.done(redis, message, outcome)
            self._context.heartbeat.count_stage()
            log.debug("stage %s is done", message.fingerprint)
            report.done(message, stage, outcome)
            return ready
        except Interrupted as interrupted:
            log.debug("stage %s: %s", message.fingerprint, interrupted)
            report.ended(message, "trainings handed back", f"handed back: {progress.name(stage)}: {interrupted}")
            return leases.release(redis, message)
        except (LeaseLost, StageCancelled) as reason:
            log.debug("stage %s is abandoned: %s", message.fingerprint, type(reason).__name__)
            report.ended(message, "trainings abandoned", f"abandoned: {progress.name(stage)}: {type(reason).__name__}")
            return []
        except RedisError:
            raise
        except ArtifactsUnavailable as unavailable:
            log.error("stage %s is handed back: %s", message.fingerprint, unavailable)
            self.artifacts_unavailable = True
            return leases.release(redis, message)
        except WeightsLost as lost:
            log.warning("stage %s waits for %s to be trained again: %s", message.fingerprint, lost.fingerprint, lost)
            why = f"waits for stage {lost.fingerprint} to be trained again: {lost}"
            return leases.miss(redis, message, lost.fingerprint, why)
        except Exception as error:  # The error is recorded with the stage.
            log.exception("stage %s failed", message.fingerprint)
            report.failed(message, stage, error)
            lasting = isinstance(error, OtherEngine) or (isinstance(error, DatasetError) and error.lasting)
            return leases.fail(redis, message, _explain(error), retry=not lasting)

    def _artifacts_for(self, message: Message) -> RetryingArtifacts:
        context = self._context

        def report(trouble: str | None) -> None:
            # This raises for a stage that was cancelled or lost meanwhile, which ends the wait.
            leases.renew(context.redis, message, context.timing.lease)
            context.heartbeat.trouble(trouble)

        return RetryingArtifacts(context.artifacts, context.stopping, report)


def _earlier_result(stage: Stage, artifacts: RetryingArtifacts) -> StageResult | None:
    """Return the saved result of a stage if all its weights are intact, else None.

    A worker may have died after it saved the result and before it reported it.
    """
    try:
        result = artifacts.result(stage.fingerprint)
        if result is not None:
            for name in saved_weights(stage, result):
                artifacts.load(stage.fingerprint, name)
        return result
    except ArtifactLost as error:
        log.warning("stage %s is trained again: %s", stage.fingerprint, error)
        artifacts.unfinish(stage.fingerprint)
        return None


@lru_cache(maxsize=2)
def _dataset(images: Images, home: Path, artifacts: Artifacts) -> Dataset:
    return load_images(images, home, artifacts=artifacts)


def _explain(error: Exception) -> str:
    trace = traceback.format_exc()
    return f"{type(error).__name__}: {error}\n\n{trace[-ERROR_CHARACTERS:]}"
