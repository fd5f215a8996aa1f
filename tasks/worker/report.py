"""What a worker logs: a line for each stage that begins or ends, at least one a minute, and one when it idles."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from engine.study.plan import Stage
from engine.study.results import StageResult
from tasks import progress
from tasks.broker.connection import BrokerError
from tasks.queue.leases import Message

# Seconds without a stage after which a worker is said to idle.
IDLE_AFTER = 5.0
# The digits of a fingerprint that tell stages apart in a log.
DIGITS = 10


@dataclass
class _Running:
    """A stage in training: the last epoch and its end, and those of the first of this attempt, since it may resume."""

    stage: Stage
    epoch: int = 0
    ended_at: float = 0.0
    first: tuple[int, float] | None = None

    def left(self, now: float) -> float | None:
        """Return the seconds that the stage still takes, None before two epochs."""
        if self.first is None or self.epoch <= self.first[0]:
            return None
        seconds = (self.ended_at - self.first[1]) / (self.epoch - self.first[0])
        return max(0.0, (self.stage.epochs - self.epoch) * seconds - (now - self.ended_at))


class Report:
    """What one worker logs of its stages.

    queued: returns how many stages wait for a worker; it may raise BrokerError. write: writes a line.
    """

    def __init__(self, queued: Callable[[], int], write: Callable[[str], None]) -> None:
        self._lines = progress.Lines(write, self._state)
        self._queued = queued
        self._running: dict[str, _Running] = {}
        self._done = 0
        # Since when the worker has no stage; None while it has one, and once it is said.
        self._idle_since: float | None = time.monotonic()
        self._idles = False

    def running(self) -> AbstractContextManager[None]:
        """Return a context in which what is noted is written to the log."""
        return self._lines.running(self._look)

    def begins(self, message: Message, stage: Stage) -> None:
        """Note that a stage begins."""
        self._running[message.fingerprint] = _Running(stage)
        self._idle_since, self._idles = None, False
        attempt = "" if message.attempt == 1 else f", attempt {message.attempt}"
        self._add(message, "trainings begin", f"begins{attempt}: {progress.name(stage)}")

    def epoch(self, fingerprint: str, epoch: int) -> None:
        """Note that a stage has trained an epoch."""
        if (running := self._running.get(fingerprint)) is not None:
            running.epoch, running.ended_at = epoch, time.monotonic()
            running.first = running.first or (epoch, running.ended_at)

    def done(self, message: Message, stage: Stage, result: StageResult) -> None:
        """Note that a stage is done."""
        self._done += 1
        self.ended(message, "trainings done", f"done: {progress.name(stage)}: {progress.outcome(result)}")

    def failed(self, message: Message, stage: Stage, error: Exception) -> None:
        """Note that a stage failed."""
        lines = str(error).splitlines() or [type(error).__name__]
        self.ended(message, "trainings failed", f"failed: {progress.name(stage)}: {lines[0]}")

    def ended(self, message: Message, kind: str, what: str) -> None:
        """Note that this worker no longer has a stage; kind: as in `progress.Lines.add`. what: has become of it."""
        self._running.pop(message.fingerprint, None)
        self._add(message, kind, what)

    def free(self) -> None:
        """Note that this worker has no stage, whatever became of those that it had."""
        self._running.clear()
        if not self._idles:
            self._idle_since = time.monotonic()

    def _add(self, message: Message, kind: str, text: str) -> None:
        self._lines.add(kind, f"{text} ({message.fingerprint[:DIGITS]})")

    def _look(self) -> None:
        # What is still to be written of the last stages comes before.
        if self._idle_since is None or self._lines.waits:
            return
        if time.monotonic() - self._idle_since > IDLE_AFTER:
            self._idle_since, self._idles = None, True
            self._lines.add("idle", f"idle: no stage waits for this worker; {self._done:,} done since its start")

    def _state(self) -> str:
        if self._idles:
            return ""
        parts = []
        if running := list(self._running.values()):
            now, first = time.monotonic(), running[0]
            parts.append(f"{len(running)} in training, epoch {first.epoch:,} of {first.stage.epochs:,}")
            if seconds := max(each.left(now) or 0.0 for each in running):
                parts.append(progress.left(seconds))
        parts.append(f"{self._done:,} done since the start")
        with suppress(BrokerError):
            parts.append(f"{self._queued():,} in the queue")
        return ", ".join(parts)
