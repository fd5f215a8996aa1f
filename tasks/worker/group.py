"""What a worker has in hand: stages of one shape that it trains side by side, each of which ends for itself."""

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
from engine.stages.runner import Interrupted, Job, kept, run_stages
from engine.stages.weights import WeightsLost
from engine.study.plan import Images, Stage
from engine.study.results import StageResult
from engine.training.device import ran_out_of_memory
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Cancelled, LeaseLost, Message, Sharing, Timing
from tasks.worker.capacity import Rooms
from tasks.worker.engine_check import OtherEngine, check_engine
from tasks.worker.observer import Heartbeat, LeasedObserver
from tasks.worker.retrying_artifacts import PatientArtifacts

ERROR_CHARACTERS = 10_000
# How often to look for stages that could join those in training while none of these ends: so long waits what a dead
# worker had in hand, where no worker is idle.
JOIN_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """What a worker process trains with. name, host: its own. stopping: set once it has been asked to stop."""

    name: str
    host: str
    device: torch.device
    home: Path
    timing: Timing
    redis: Redis
    celery: Celery
    artifacts: Artifacts
    rooms: Rooms
    heartbeat: Heartbeat
    stopping: threading.Event

    @property
    def place(self) -> tuple[str, str, str, float]:
        """Where a stage is trained, and for how many seconds it is claimed, as `tasks.queue.leases` takes them."""
        return self.name, self.host, str(self.device), self.timing.lease

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages to the workers."""
        celery_app.send(messages, self.celery)


class Bundle:
    """Stages that are trained side by side; store_away: whether one was handed back since the store does not answer."""

    def __init__(self, bench: Bench) -> None:
        self.store_away = False
        self._bench = bench
        self._held: dict[Message, PatientArtifacts] = {}
        # By job, not by stage: one whose lease is lost may be here once more before that is noticed.
        self._messages: dict[Job, Message] = {}
        # How many were in training, and when, as others were last looked for.
        self._looked_for = 0
        self._looked_at = time.monotonic()

    def train(self, message: Message, stage: Stage) -> None:
        """Train a stage that this worker has claimed, and queued ones of its shape beside it, each to its end.

        Raises RedisError or OperationalError once Redis has gone.
        """
        jobs = self._begin([(message, stage)])
        if not jobs:
            return
        try:
            dataset = _dataset(stage.images, self._bench.home, self._bench.artifacts)
            jobs += self._begin(self._claim(stage, dataset, going=1))
            self._looked_for = len(jobs)
            more = partial(self._join, stage, dataset)
            run_stages(jobs, dataset, self._bench.device, self._ended, more=more)
        except (RedisError, OperationalError):
            raise
        except Exception as error:  # Whatever stages die of is kept with them, and the worker lives on.
            outcome = error
            if len(self._held) > 1 and ran_out_of_memory(error):
                self._bench.rooms.shrink(stage, len(self._held))
                outcome = Interrupted(f"beside others, memory ran out: {error}")
            for held in list(self._held):
                self._end(held, outcome)

    def _begin(self, claimed: Sequence[tuple[Message, Stage]]) -> list[Job]:
        """Return what is to be trained of stages just claimed; others have their result already, or cannot begin."""
        bench, jobs = self._bench, []
        for message, stage in claimed:
            self._held[message] = artifacts = self._artifacts_for(message)
            bench.heartbeat.hold(*self._held)
            try:
                check_engine(stage, message.fingerprint)
                result = _kept_result(stage, artifacts)
            except Exception as error:  # As above.
                self._end(message, error)
                continue
            if result is not None:
                self._end(message, result)
                continue
            log.info("stage %s begins, attempt %d", message.fingerprint, message.attempt)
            trained = bench.heartbeat.count_epoch
            observer = LeasedObserver(bench.redis, message, bench.name, bench.timing, bench.stopping, trained)
            jobs.append(Job(stage, artifacts, observer))
            self._messages[jobs[-1]] = message
        return jobs

    def _claim(self, stage: Stage, dataset: Dataset, going: int, joining: bool = False) -> list[tuple[Message, Stage]]:
        """Return queued stages that are now this worker's, to be trained beside so many that it has."""
        room = self._bench.rooms.of(stage, dataset)
        if going >= room.most:
            return []
        workers = telemetry.workers(self._bench.redis)
        idle = sum(worker.state == "idle" for worker in workers)
        sharing = Sharing(going, joining, len(workers), idle)
        return leases.claim_alike(self._bench.redis, stage, room, sharing, *self._bench.place)

    def _join(self, stage: Stage, dataset: Dataset, going: int) -> list[Job]:
        """Return stages that join those in training, in the place of some that have ended or begun elsewhere before."""
        if self.store_away or self._bench.stopping.is_set():
            return []
        if going >= self._looked_for and time.monotonic() - self._looked_at < JOIN_SECONDS:
            return []
        joining = self._begin(self._claim(stage, dataset, going, joining=True))
        self._looked_for, self._looked_at = going + len(joining), time.monotonic()
        return joining

    def _ended(self, job: Job, outcome: StageResult | Exception) -> None:
        self._end(self._messages.pop(job), outcome)

    def _end(self, message: Message, outcome: StageResult | Exception) -> None:
        self._bench.send(self._messages_after(message, self._held.pop(message), outcome))
        self._bench.heartbeat.hold(*self._held)

    def _messages_after(
        self, message: Message, artifacts: PatientArtifacts, outcome: StageResult | Exception
    ) -> list[Message]:
        """Keep how a stage ended, and return what has to be sent for it."""
        redis = self._bench.redis
        try:
            if isinstance(outcome, Exception):
                raise outcome
            artifacts.finish(message.fingerprint, outcome)
            artifacts.delete(message.fingerprint, "checkpoint")
            ready = leases.done(redis, message, outcome)
            self._bench.heartbeat.count_stage()
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
        except Exception as error:  # As above.
            log.exception("stage %s failed", message.fingerprint)
            return leases.fail(redis, message, _explain(error), retry=not isinstance(error, OtherEngine))

    def _artifacts_for(self, message: Message) -> PatientArtifacts:
        bench = self._bench

        def tell(trouble: str | None) -> None:
            # Nobody need be held up by a stage that is cancelled or lost meanwhile: this raises then.
            leases.renew(bench.redis, message, bench.timing.lease)
            bench.heartbeat.trouble(trouble)

        return PatientArtifacts(bench.artifacts, bench.stopping, tell)


def _kept_result(stage: Stage, artifacts: PatientArtifacts) -> StageResult | None:
    """Return the result of a stage that is done, and whose weights are whole, although Redis may not know.

    A worker may have died between keeping a result and telling of it; or weights were lost, and this is to mend it.
    """
    try:
        result = artifacts.result(stage.fingerprint)
        if result is not None:
            for name in kept(stage, result):
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
