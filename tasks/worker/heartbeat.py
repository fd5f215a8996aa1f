"""The heartbeat of a worker, which reports what the worker does and renews its leases."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError

from tasks.queue import leases, telemetry
from tasks.queue.leases import LeaseLost, Message, StageCancelled
from tasks.queue.telemetry import Slow, Worker
from tasks.queue.timing import Timing
from tasks.worker import host

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that reports that this worker lives and renews the leases of its stages.

    gpu: returns the used and total bytes of the worker's GPU, None if it has none or has not trained yet.
    """

    def __init__(
        self,
        redis: Redis,
        worker: Worker,
        timing: Timing,
        gpu: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._worker = replace(worker, heartbeat=timing.heartbeat)
        self._timing = timing
        self._gpu = gpu
        self._messages: tuple[Message, ...] = ()
        self._draining = False
        self._stages = 0
        self._epochs = 0
        self._ended = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and report that the worker has left."""
        self._ended.set()
        self._woken.set()
        self._thread.join(timeout=1.0)
        try:
            telemetry.leave(self._redis, self._worker.name)
        except RedisError as error:
            log.warning("Redis does not answer, so this worker will be shown as silent: %s", error)

    def hold(self, *messages: Message) -> None:
        """Renew from now on the leases of these messages, and of no others."""
        if messages[:1] != self._messages[:1]:
            self._worker = replace(self._worker, since=datetime.now(UTC))
        self._messages = messages
        fingerprints = tuple(message.fingerprint for message in messages)
        stage = fingerprints[0] if fingerprints else None
        slow = self._worker.slow and self._worker.slow.among(fingerprints)
        self._worker = replace(self._worker, stage=stage, beside=fingerprints[1:], trouble=None, slow=slow)
        self._beat()

    def trouble(self, text: str | None) -> None:
        """Report what the worker waits for; None once it continues."""
        self._worker = replace(self._worker, trouble=text)
        self._beat()

    def slow(self, fingerprint: str, why: str) -> None:
        """Report that a stage of this worker is trained without CUDA graphs, more slowly, and why."""
        before = self._worker.slow or Slow(why)
        slow = Slow(why, before.stages + 1, (*before.now, fingerprint))
        self._worker = replace(self._worker, slow=slow)
        self._beat()

    def drain(self) -> None:
        """Report that the worker must stop; a signal handler may call this, since the thread does the work."""
        self._draining = True
        self._woken.set()

    def count_epoch(self) -> None:
        """Count an epoch that the worker has trained."""
        self._epochs += 1

    def count_stage(self) -> None:
        """Count a stage that the worker has finished."""
        self._stages += 1

    def _run(self) -> None:
        self._beat()
        while True:
            self._woken.wait(self._timing.heartbeat)
            self._woken.clear()
            if self._ended.is_set():
                return
            self._beat()
            for message in self._messages:
                try:
                    leases.renew(self._redis, message, self._timing.lease)
                except (LeaseLost, StageCancelled):
                    # The training thread gets the same error before it writes anything.
                    log.info("this worker has lost stage %s", message.fingerprint)
                except RedisError as error:
                    log.warning("cannot renew the lease of %s: %s", message.fingerprint, error)

    def _beat(self) -> None:
        now = replace(
            self._worker,
            seen=datetime.now(UTC),
            draining=self._draining,
            stages=self._stages,
            epochs=self._epochs,
            memory=host.memory(self._gpu()),
        )
        try:
            telemetry.beat(self._redis, now)
        except RedisError as error:
            log.warning("cannot report that this worker lives: %s", error)
