"""One worker process, which takes stages from the queue and trains them on one device."""

import argparse
import logging
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime
from functools import partial
from types import FrameType

import torch
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker import state as celery_state
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from data import processes
from data.artifacts.store import Artifacts
from data.datasets import registry as datasets
from data.plugins import loading as plugins
from data.settings import Settings, settings
from engine import registry
from engine.training.device import get_ready
from tasks.accounts import become_owner
from tasks.broker.connection import client, warn_if_open
from tasks.process import end_with_parent
from tasks.queue import celery_app, leases, telemetry
from tasks.queue.leases import Message
from tasks.queue.telemetry import Worker
from tasks.queue.timing import Timing
from tasks.worker import devices, host
from tasks.worker.capacity import Capacities
from tasks.worker.group import StageGroup, WorkerContext
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.report import Report

# Seconds that a worker waits for a Redis that does not answer before it gives up its stages.
PATIENCE = 60.0
# Seconds after its first signal in which a worker ignores another: who signals all processes of a job, as Slurm does,
# signals the worker and its parent, which signals the worker too.
SAME_SIGNAL = 5.0
# Seconds that a worker pauses after it returned a stage because it does not reach the artifact store, so that a worker
# that does can claim the stage.
PAUSE = 30.0

log = logging.getLogger(__name__)


class Trainer:
    """One worker process: its context, and whether it trains now."""

    def __init__(self, config: Settings, device: str, timing: Timing) -> None:
        place = torch.device(device)
        now, pid = datetime.now(UTC), os.getpid()
        worker = Worker(
            host.worker_name(pid),
            socket.gethostname(),
            device,
            pid,
            stage=None,
            since=now,
            seen=now,
            started=host.started(pid),
            born=processes.born(pid),
            boot=host.boot(),
            gpu=devices.gpu_name(place),
            warning=_warning(place),
        )
        self.busy = False
        self._stopped_at = 0.0
        self.context = WorkerContext(
            name=worker.name,
            host=worker.host,
            device=place,
            home=config.home,
            timing=timing,
            redis=client(config, PATIENCE),
            celery=celery_app.make_app(config),
            artifacts=Artifacts(config.artifacts),
            capacities=Capacities(place, config.together, config.home),
            # A client of its own, since a beat must not wait as long for a Redis that is gone.
            heartbeat=Heartbeat(client(config), worker, timing, partial(devices.gpu_memory, place)),
            report=Report(partial(telemetry.queued, client(config, 0.0)), partial(log.info, "%s")),
            stopping=threading.Event(),
        )

    def train(self, fingerprint: str, attempt: int) -> None:
        """Train a stage, if it can still be claimed, and send the stages that can be trained after it.

        Beside it, the worker trains queued stages of its shape, as many as are fastest on the device.
        """
        context, message = self.context, Message(fingerprint, attempt)
        self.busy = True
        try:
            if context.stopping.is_set():
                context.send([message])
                return
            stage = leases.claim(context.redis, message, *context.place)
            if stage is None:
                log.info("stage %s, attempt %d, cannot be claimed any more", fingerprint, attempt)
                return
            group = StageGroup(context)
            group.train(message, stage)
            if group.artifacts_unavailable:
                context.heartbeat.hold()
                context.stopping.wait(PAUSE)
        except (RedisError, OperationalError) as error:
            # The leases expire, and the reaper gives the stages to a worker that reaches Redis.
            log.error("stage %s and those beside it are given up, since Redis does not answer: %s", fingerprint, error)
        finally:
            context.heartbeat.hold()
            context.report.free()
            self.busy = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one stops the worker after the epoch, the second one ends the process at once."""
        del frame
        now = time.monotonic()
        if self.context.stopping.is_set():
            if now - self._stopped_at > SAME_SIGNAL:
                os._exit(128 + number)
            return
        self._stopped_at = now
        self.context.stopping.set()
        self.context.heartbeat.drain()
        celery_state.should_stop = 0
        if not self.busy:
            raise WorkerShutdown(0)


def _warning(device: torch.device) -> str:
    """Return what is wrong with this worker, for the page of the workers."""
    faults = plugins.sentences(plugins.loaded())
    unusable = "" if device.type == "cuda" else devices.unusable_gpu()
    return "; ".join(filter(None, [unusable, *faults]))


def work(device: str, timing: Timing) -> None:
    """Train stages from the queue until a signal."""
    config = settings()
    warn_if_open(config)
    get_ready(torch.device(device), devices.threads(config.threads, 1))
    plugins.load(config)
    registry.load_added()
    datasets.load_added()
    trainer = Trainer(config, device, timing)
    trainer.context.celery.task(name=celery_app.TASK)(trainer.train)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, trainer.stop)
    trainer.context.heartbeat.start()
    log.info("worker %s is ready on %s", trainer.context.name, device)
    controller = WorkController(
        app=trainer.context.celery,
        hostname=f"ticketscope@{trainer.context.name}",
        pool_cls="solo",
        concurrency=1,
        loglevel=logging.WARNING,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
    )
    try:
        with trainer.context.report.running():
            controller.start()
    finally:
        trainer.context.heartbeat.stop()
    log.info("worker %s has stopped", trainer.context.name)


def main() -> None:
    """Run one worker process, as `ticketscope worker` starts them."""
    parser = argparse.ArgumentParser(description="One worker process; start them with: ticketscope worker")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lease", type=float, default=Timing.lease)
    parser.add_argument("--verbose", action="store_true", help="log each stage by itself, however many there are")
    arguments = parser.parse_args()
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("celery").setLevel(logging.WARNING)
    logging.getLogger("tasks").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    become_owner(settings())
    work(arguments.device, Timing(lease=arguments.lease, heartbeat=arguments.lease / 4))
