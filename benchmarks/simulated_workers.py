"""Workers for `benchmarks.workers` that claim, renew, publish and finish as real ones do, but train nothing."""

import argparse
import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from kombu import Consumer

from benchmarks import made_results
from data.settings import settings
from engine.study.plan import Stage
from engine.study.results import StageResult
from tasks.broker.connection import client
from tasks.queue import celery_app, leases
from tasks.queue.leases import QUEUE, LeaseLost, Message
from tasks.queue.scripts import PREFIX
from tasks.queue.telemetry import Worker
from tasks.queue.timing import Timing
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.observer import LeasedObserver

# The pause between checkpoints of `engine.stages.runner.run_stage`.
CHECKPOINT_SECONDS = 5.0
TICK = 0.1


@dataclass
class WorkDone:
    """The work of all workers of one process; waits: the seconds from a queued stage and a free worker to the claim."""

    begun: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    lost: int = 0
    epochs: int = 0
    results: int = 0
    waits: list[float] = field(default_factory=list)


class SimulatedWorker:
    """One worker, in a thread of its own."""

    def __init__(self, number: int, rate: float, done: WorkDone, stopping: threading.Event) -> None:
        config = settings()
        self._rate = rate
        self._done = done
        self._stopping = stopping
        self._name = f"simulated-{os.getpid()}:{number}"
        self._redis = client(config, 60.0)
        self._celery = celery_app.make_app(config)
        now = datetime.now(UTC)
        worker = Worker(self._name, gethostname(), "none", os.getpid(), stage=None, since=now, seen=now)
        self._timing = Timing()
        self._heartbeat = Heartbeat(client(config), worker, self._timing)

    def run(self) -> None:
        """Train stages from the queue, by Celery's messages, until `stopping` is set."""
        self._heartbeat.start()
        taken: list[Message] = []

        def take(body: Any, message: Any) -> None:
            # Real workers also acknowledge a message on receipt, and request the next only when they are idle.
            message.ack()
            (fingerprint, attempt), _, _ = body
            taken.append(Message(fingerprint, attempt))

        with self._celery.connection_for_read() as connection:
            consumer = Consumer(
                connection,
                queues=[self._celery.amqp.queues[QUEUE]],
                callbacks=[take],
                accept=["json"],
                prefetch_count=1,
            )
            with consumer:
                idle_since = time.time()
                while not self._stopping.is_set():
                    try:
                        connection.drain_events(timeout=1.0)
                    except TimeoutError:
                        continue
                    while taken:
                        message = taken.pop()
                        celery_app.send(self._after(message, idle_since), self._celery)
                        idle_since = time.time()
        self._heartbeat.stop()

    def _after(self, message: Message, idle_since: float) -> list[Message]:
        queued = self._redis.zscore(f"{PREFIX}queued", message.fingerprint)
        stage = leases.claim(self._redis, message, self._name, gethostname(), "none", self._timing.lease)
        if stage is None:
            return []
        if queued is not None:
            # A stage waits only from the moment that a worker is idle. All processes share the clock of one machine.
            self._done.waits.append(max(0.0, time.time() - max(queued / 1000, idle_since)))
        self._done.begun[message.fingerprint] += 1
        self._heartbeat.hold(message)
        try:
            return self._train(stage, message)
        except LeaseLost:
            self._done.lost += 1
            return []
        finally:
            self._heartbeat.hold()

    def _train(self, stage: Stage, message: Message) -> list[Message]:
        observer = LeasedObserver(self._redis, message, self._name, self._timing, self._stopping)
        result = StageResult.from_json(made_results.result(stage, seed=0))
        reported = committed = 0
        begin = saved = time.monotonic()
        while reported < stage.epochs:
            time.sleep(min(TICK, max(0.0, begin + stage.epochs / self._rate - time.monotonic())))
            due = min(stage.epochs, int((time.monotonic() - begin) * self._rate))
            for row in result.epochs[reported:due]:
                observer.epoch(row, stage.epochs)
            reported = due
            if self._stopping.is_set() or time.monotonic() - saved >= CHECKPOINT_SECONDS:
                observer.commit(result.epochs[committed:reported])
                self._done.epochs += reported - committed
                committed, saved = reported, time.monotonic()
            if self._stopping.is_set():
                return leases.release(self._redis, message)
        observer.commit(result.epochs[committed:])
        self._done.epochs += stage.epochs - committed
        ready = leases.done(self._redis, message, result)
        self._done.results += sum(len(overlap.counts) for overlap in result.overlaps)
        self._done.finished += 1
        return ready


def main() -> None:
    """Run some workers until SIGTERM, and print what they did as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated_workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=80.0, help="epochs per second of each")
    arguments = parser.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    done = WorkDone()
    workers = [SimulatedWorker(number, arguments.rate, done, stopping) for number in range(arguments.workers)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({**vars(done), "begun": dict(done.begun)}), flush=True)


if __name__ == "__main__":
    main()
