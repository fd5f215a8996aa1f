"""Keeping child processes alive: dead ones are restarted, and all are stopped in order."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from data.os_errors import explained
from tasks.process import spawn

TICK_SECONDS = 0.2
# A child that dies within this time after its start is restarted after a pause, which grows with each such death.
SETTLED_SECONDS = 10.0
LONGEST_PAUSE = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """A child process to keep alive.

    log: the file that its output is appended to, None for this process's own output. grace: seconds that it gets to
    stop. died: called with the process id of each process of the service that ended by itself or was killed.
    """

    name: str
    command: Sequence[str]
    log: Path | None = None
    grace: float = 3.5
    environment: Mapping[str, str] = field(default_factory=dict)
    died: Callable[[int], None] | None = None


class _Child:
    """One service and the process that runs it now."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.deaths = 0
        self.restart_at = 0.0
        self.start()

    def start(self) -> None:
        self.process = spawn(self.service.command, self.service.log, extra=self.service.environment)
        self.started_at = time.monotonic()
        self.reported = False

    def tend(self) -> None:
        """Restart the process if it has died and its pause is over."""
        code = self.process.poll()
        if code is None:
            return
        now = time.monotonic()
        if not self.reported:
            self.reported = True
            self.deaths = 1 if now - self.started_at > SETTLED_SECONDS else self.deaths + 1
            self.restart_at = now + min(LONGEST_PAUSE, 0.1 * 2 ** (self.deaths - 1))
            where = f"; see {self.service.log}" if self.service.log else ""
            log.warning("%s (process %d) ended with code %s%s", self.service.name, self.process.pid, code, where)
            if self.service.died is not None:
                self.service.died(self.process.pid)
        if now >= self.restart_at:
            try:
                self.start()
            except OSError as error:
                # Its log cannot be opened on a full disk, for example.
                log.error("%s cannot be started: %s", self.service.name, explained(error))
                self.restart_at = now + LONGEST_PAUSE / 2


class Supervisor:
    """Runs groups of services until a signal, then stops one group after the other in their order."""

    def __init__(self, groups: Sequence[Sequence[Service]]) -> None:
        self._groups = groups
        self._signals = 0
        self._children: list[list[_Child]] = []

    def run(self, tick: Callable[[], bool | None] | None = None) -> None:
        """Keep all services alive until SIGINT or SIGTERM; a second one kills them.

        tick: called every TICK_SECONDS; the services are stopped, too, once it returns True.
        Must be called in the main thread, since the children end with the calling thread.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._children = [[_Child(service) for service in group] for group in self._groups]
            while not self._signals:
                for child in self._all():
                    child.tend()
                if tick is not None and tick():
                    break
                time.sleep(TICK_SECONDS)
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def pids(self) -> list[int]:
        """Return the processes of the services."""
        return [child.process.pid for child in self._all()]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1

    def _all(self) -> list[_Child]:
        return [child for group in self._children for child in group]

    def _stop(self) -> None:
        for group in self._children:
            running = [child for child in group if child.process.poll() is None]
            for child in running:
                child.process.terminate()
            deadlines = {child.process.pid: time.monotonic() + child.service.grace for child in running}
            while running:
                now = time.monotonic()
                for child in running:
                    if self._signals > 1 or now > deadlines[child.process.pid]:
                        self._kill(child)
                running = [child for child in running if child.process.poll() is None]
                time.sleep(0.02)

    def _kill(self, child: _Child) -> None:
        log.warning("%s (process %d) does not stop in time and is killed", child.service.name, child.process.pid)
        child.process.kill()
        try:
            child.process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            log.error("process %d cannot be killed", child.process.pid)
        if child.service.died is not None:
            child.service.died(child.process.pid)
