"""Training a group of stages of one shape side by side, each of which ends on its own."""

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

from data.artifacts.store import ArtifactLost, Artifacts, StoreAway
from data.datasets.loading import load_images
from engine.dataset import Dataset
from engine.stages.runner import Interrupted, Job, run_stages, saved_weights
from engine.stages.weights import WeightsLost
from engine.study.plan import Images, Stage
from engine.study.results import StageResult
from engine.training.device import ran_out_of_memory
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Cancelled, LeaseLost, Message, Sharing, Timing
from tasks.worker.capacity import Capacities
from tasks.worker.engine_check import OtherEngine, check_engine
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.observer import LeasedObserver
from tasks.worker.retrying_artifacts import RetryingArtifacts

ERROR_CHARACTERS = 10_000
# How often to look for stages that could join the group while none of it ends. Where no worker is idle, the stages of a
# dead worker wait this long.
JOIN_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerContext:
    """What a worker process trains with. name, host: of this process. stopping: set once it is asked to stop."""

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
    stopping: threading.Event

    @property
    def place(self) -> tuple[str, str, str, float]:
        """Worker, host and device that claim a stage, and the seconds of the lease, in the order of `leases.claim`."""
        return self.name, self.host, str(self.device), self.timing.lease

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages to the workers."""
        celery_app.send(messages, self.celery)


class Group:
    """Stages trained side by side. store_away: whether one was handed back because the artifact store is away."""

    def __init__(self, context: WorkerContext) -> None:
        self.store_away = False
        self._context = context
        self._claimed: dict[Message, RetryingArtifacts] = {}
        # By job, not by stage: a stage whose lease is lost may be claimed here again before the loss is noticed.
        self._messages: dict[Job, Message] = {}
        # The number of jobs in training when others were last looked for, and when that was.
        self._running_then = 0
        self._looked_at = time.monotonic()

    def train(self, message: Message, stage: Stage) -> None:
        """Train a stage that this worker has claimed, and queued stages of its shape beside it, each to its end.

        Raises RedisError or OperationalError once Redis is gone.
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
        """Return the jobs of stages just claimed; the others have a result already or cannot begin, and are ended."""
        context, jobs = self._context, []
        for message, stage in claimed:
            self._claimed[message] = artifacts = self._artifacts_for(message)
            context.heartbeat.hold(*self._claimed)
            try:
                check_engine(stage, message.fingerprint)
                result = _earlier_result(stage, artifacts)
            except Exception as error:  # Recorded with the stage, too.
                self._end(message, error)
                continue
            if result is not None:
                self._end(message, result)
                continue
            log.info("stage %s begins, attempt %d", message.fingerprint, message.attempt)
            trained = context.heartbeat.count_epoch
            observer = LeasedObserver(context.redis, message, context.name, context.timing, context.stopping, trained)
            jobs.append(Job(stage, artifacts, observer))
            self._messages[jobs[-1]] = message
        return jobs

    def _claim(
        self, stage: Stage, dataset: Dataset, running: int, joining: bool = False
    ) -> list[tuple[Message, Stage]]:
        """Claim queued stages of a stage's shape for this worker, which trains `running` of them already."""
        capacity = self._context.capacities.of(stage, dataset)
        if running >= capacity.most:
            return []
        workers = telemetry.workers(self._context.redis)
        idle = sum(worker.state == "idle" for worker in workers)
        sharing = Sharing(running, joining, len(workers), idle)
        return leases.claim_alike(self._context.redis, stage, capacity, sharing, *self._context.place)

    def _join(self, stage: Stage, dataset: Dataset, running: int) -> list[Job]:
        """Return the jobs of queued stages that join the group, in the place of stages that ended."""
        if self.store_away or self._context.stopping.is_set():
            return []
        if running >= self._running_then and time.monotonic() - self._looked_at < JOIN_SECONDS:
            return []
        joining = self._begin(self._claim(stage, dataset, running, joining=True))
        self._running_then, self._looked_at = running + len(joining), time.monotonic()
        return joining

    def _ended(self, job: Job, outcome: StageResult | Exception) -> None:
        self._end(self._messages.pop(job), outcome)

    def _end(self, message: Message, outcome: StageResult | Exception) -> None:
        self._context.send(self._messages_after(message, self._claimed.pop(message), outcome))
        self._context.heartbeat.hold(*self._claimed)

    def _messages_after(
        self, message: Message, artifacts: RetryingArtifacts, outcome: StageResult | Exception
    ) -> list[Message]:
        """Record how a stage ended, and return the messages to send for it."""
        redis = self._context.redis
        try:
            if isinstance(outcome, Exception):
                raise outcome
            artifacts.finish(message.fingerprint, outcome)
            artifacts.delete(message.fingerprint, "checkpoint")
            ready = leases.done(redis, message, outcome)
            self._context.heartbeat.count_stage()
            log.info("stage %s is done", message.fingerprint)
            return ready
        except Interrupted as interrupted:
            log.info("stage %s: %s", message.fingerprint, interrupted)
            return leases.release(redis, message)
        except (LeaseLost, Cancelled) as reason:
            log.info("stage %s is abandoned: %s", message.fingerprint, type(reason).__name__)
            return []
        except RedisError:
            raise
        except StoreAway as away:
            log.error("stage %s is handed back: %s", message.fingerprint, away)
            self.store_away = True
            return leases.release(redis, message)
        except WeightsLost as lost:
            log.warning("stage %s waits for %s to be trained again: %s", message.fingerprint, lost.fingerprint, lost)
            why = f"waits for stage {lost.fingerprint} to be trained again: {lost}"
            return leases.miss(redis, message, lost.fingerprint, why)
        except Exception as error:  # Recorded with the stage, too.
            log.exception("stage %s failed", message.fingerprint)
            return leases.fail(redis, message, _explain(error), retry=not isinstance(error, OtherEngine))

    def _artifacts_for(self, message: Message) -> RetryingArtifacts:
        context = self._context

        def report(trouble: str | None) -> None:
            # Raises for a stage that was cancelled or lost meanwhile, so that nobody waits for it.
            leases.renew(context.redis, message, context.timing.lease)
            context.heartbeat.trouble(trouble)

        return RetryingArtifacts(context.artifacts, context.stopping, report)


def _earlier_result(stage: Stage, artifacts: RetryingArtifacts) -> StageResult | None:
    """Return the result of a stage that is done with all its weights intact, although Redis may not know; else None.

    A worker may have died between saving a result and reporting it; or weights were lost, and are trained again.
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
