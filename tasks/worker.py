"""One worker process: it takes stages from the queue and trains them on one device."""

import argparse
import logging
import os
import signal
import socket
import threading
import traceback
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from types import FrameType

import torch
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker import state as celery_state
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from data.artifacts import ArtifactLost, Artifacts, StoreAway
from data.loading import load_images
from data.settings import Settings, settings
from engine.dataset import Dataset
from engine.device import get_ready, ran_out_of_memory
from engine.lost import WeightsLost
from engine.plan import ENGINE_VERSION, Images, Stage
from engine.results import StageResult
from engine.stages import Interrupted, Job, kept, run_stages
from tasks import devices, host, leases, queue, telemetry
from tasks.broker import client
from tasks.bundles import Bundles
from tasks.exposed import warn_if_open
from tasks.leases import Cancelled, LeaseLost, Message, Timing
from tasks.observer import Heartbeat, LeasedObserver
from tasks.patience import PatientArtifacts
from tasks.telemetry import Worker

# How long a worker in the midst of a stage waits for a Redis that has gone before it gives the stage up.
PATIENCE = 60.0
ERROR_CHARACTERS = 10_000
# After a stage was handed back because the store is away: time for others, who may reach it, to take it.
REST = 30.0

log = logging.getLogger(__name__)


class OtherEngine(RuntimeError):
    """A stage whose fingerprint stands for the numbers of another engine."""


class Trainer:
    """What a worker process needs to train any stage, and whether it has been asked to stop."""

    def __init__(self, config: Settings, device: str, timing: Timing) -> None:
        self.home = config.home
        self.device = torch.device(device)
        self.timing = timing
        self.host = socket.gethostname()
        self.name = host.worker_name(os.getpid())
        self.redis: Redis = client(config, PATIENCE)
        self.artifacts = Artifacts(config.artifacts)
        self.bundles = Bundles(self.device, config.together)
        self.celery = queue.make_app(config)
        self.stopping = threading.Event()
        self.busy = False
        self.store_away = False
        now = datetime.now(UTC)
        worker = Worker(
            self.name,
            self.host,
            device,
            os.getpid(),
            stage=None,
            since=now,
            seen=now,
            started=host.started(os.getpid()),
            boot=host.boot(),
            gpu=devices.gpu_name(self.device),
        )
        # A client of its own, since a beat must not wait for long behind a Redis that has gone.
        self.heartbeat = Heartbeat(client(config), worker, timing, partial(devices.gpu_memory, self.device))

    def train(self, fingerprint: str, attempt: int) -> None:
        """Train a stage, if it is still to be had, and send what can be trained after it.

        Beside it the worker trains queued stages of its shape, as many as are fastest on the device.
        """
        message = Message(fingerprint, attempt)
        self.busy = True
        try:
            if self.stopping.is_set():
                self._send([message])
                return
            stage = leases.claim(self.redis, message, self.name, self.host, str(self.device), self.timing.lease)
            if stage is None:
                log.info("stage %s, attempt %d, is not to be had", fingerprint, attempt)
                return
            self.store_away = False
            self._train(message, stage)
            if self.store_away:
                self.heartbeat.hold()
                self.stopping.wait(REST)
        except (RedisError, OperationalError) as error:
            # The leases run out, and the reaper gives the stages to a worker that reaches Redis.
            log.error("stage %s and those beside it are given up, since Redis has gone: %s", fingerprint, error)
        finally:
            self.heartbeat.hold()
            self.busy = False

    def _train(self, message: Message, stage: Stage) -> None:
        held: dict[Message, PatientArtifacts] = {}
        messages: dict[str, Message] = {}
        jobs: list[Job] = []

        def begin(message: Message, stage: Stage) -> None:
            held[message] = self._artifacts_for(message)
            self.heartbeat.hold(*held)
            try:
                self._check_engine(stage, message)
                result = _kept_result(stage, held[message])
            except Exception as error:  # Whatever a stage dies of is kept with it, and the worker lives on.
                end(message, error)
                return
            if result is not None:
                end(message, result)
                return
            log.info("stage %s begins, attempt %d", message.fingerprint, message.attempt)
            observer = LeasedObserver(
                self.redis, message, self.name, self.timing, self.stopping, self.heartbeat.count_epoch
            )
            messages[stage.fingerprint] = message
            jobs.append(Job(stage, held[message], observer))

        def end(message: Message, outcome: StageResult | Exception) -> None:
            self._send(self._messages_after(message, held.pop(message), outcome))
            self.heartbeat.hold(*held)

        begin(message, stage)
        if not jobs:
            return
        try:
            dataset = _dataset(stage.images, self.home, self.artifacts)
            for other in self._claim_beside(stage, dataset):
                begin(*other)
            run_stages(jobs, dataset, self.device, lambda job, outcome: end(messages[job.stage.fingerprint], outcome))
        except (RedisError, OperationalError):
            raise
        except Exception as error:  # As above.
            outcome = error
            if len(held) > 1 and ran_out_of_memory(error):
                self.bundles.shrink(stage)
                outcome = Interrupted(f"beside others, memory ran out: {error}")
            for message in list(held):
                end(message, outcome)

    def _claim_beside(self, stage: Stage, dataset: Dataset) -> list[tuple[Message, Stage]]:
        """Return queued stages that are now this worker's, to be trained side by side with one that it has."""
        more = self.bundles.size(stage, dataset) - 1
        if more == 0:
            return []
        workers = len(telemetry.workers(self.redis))
        place = (self.name, self.host, str(self.device), self.timing.lease)
        return leases.claim_alike(self.redis, stage, more, workers, *place)

    def _messages_after(
        self, message: Message, artifacts: PatientArtifacts, outcome: StageResult | Exception
    ) -> list[Message]:
        """Keep how a stage ended, and return what has to be sent for it."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            artifacts.finish(message.fingerprint, outcome)
            artifacts.delete(message.fingerprint, "checkpoint")
            ready = leases.done(self.redis, message, outcome)
            self.heartbeat.count_stage()
            log.info("stage %s is done", message.fingerprint)
            return ready
        except Interrupted as interrupted:
            log.info("stage %s: %s", message.fingerprint, interrupted)
            return leases.release(self.redis, message)
        except (LeaseLost, Cancelled) as reason:
            log.info("stage %s is abandoned: %s", message.fingerprint, type(reason).__name__)
            return []
        except RedisError:
            raise
        except StoreAway as away:
            log.error("stage %s is handed back: %s", message.fingerprint, away)
            self.store_away = True
            return leases.release(self.redis, message)
        except WeightsLost as lost:
            log.warning("stage %s waits for %s to be trained again: %s", message.fingerprint, lost.fingerprint, lost)
            why = f"waits for stage {lost.fingerprint} to be trained again: {lost}"
            return leases.miss(self.redis, message, lost.fingerprint, why)
        except Exception as error:  # Whatever a stage dies of is kept with it, and the worker lives on.
            log.exception("stage %s failed", message.fingerprint)
            return leases.fail(self.redis, message, _explain(error), retry=not isinstance(error, OtherEngine))

    def _check_engine(self, stage: Stage, message: Message) -> None:
        if stage.fingerprint != message.fingerprint:
            raise OtherEngine(
                f"stage {message.fingerprint} was queued by a Ticketscope whose engine gives other numbers than this "
                f"worker's (version {ENGINE_VERSION}); bring all hosts to one version, then launch the study again"
            )

    def _artifacts_for(self, message: Message) -> PatientArtifacts:
        def tell(trouble: str | None) -> None:
            # Nobody need be held up by a stage that is cancelled or lost meanwhile: this raises then.
            leases.renew(self.redis, message, self.timing.lease)
            self.heartbeat.trouble(trouble)

        return PatientArtifacts(self.artifacts, self.stopping, tell)

    def _send(self, messages: list[Message]) -> None:
        queue.send(messages, self.celery)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first asks to stop after the epoch, the second ends the process at once."""
        del frame
        if self.stopping.is_set():
            os._exit(128 + number)
        self.stopping.set()
        self.heartbeat.drain()
        celery_state.should_stop = 0
        if not self.busy:
            raise WorkerShutdown(0)


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
    return load_images(images, home, store=artifacts)


def _explain(error: Exception) -> str:
    trace = traceback.format_exc()
    return f"{type(error).__name__}: {error}\n\n{trace[-ERROR_CHARACTERS:]}"


def work(device: str, timing: Timing) -> None:
    """Take stages from the queue until a signal says to stop."""
    config = settings()
    warn_if_open(config)
    get_ready(torch.device(device), devices.threads(config.threads, 1))
    trainer = Trainer(config, device, timing)
    trainer.celery.task(name=queue.TASK)(trainer.train)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, trainer.stop)
    trainer.heartbeat.start()
    log.info("worker %s is ready on %s", trainer.name, device)
    controller = WorkController(
        app=trainer.celery,
        hostname=f"ticketscope@{trainer.name}",
        pool_cls="solo",
        concurrency=1,
        loglevel=logging.WARNING,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
    )
    try:
        controller.start()
    finally:
        trainer.heartbeat.stop()
    log.info("worker %s has stopped", trainer.name)


def main() -> None:
    """Run one worker process, as `python -m tasks worker` starts them."""
    parser = argparse.ArgumentParser(description="One worker process; start them with: python -m tasks worker")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lease", type=float, default=Timing.lease)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("celery").setLevel(logging.WARNING)
    work(arguments.device, Timing(lease=arguments.lease, heartbeat=arguments.lease / 4))


if __name__ == "__main__":
    main()
