"""The artifact store as a worker uses it: one that is full or away is waited for, while the stage stays held."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential,
)
from torch import Tensor

from data.artifacts.store import Artifacts, StoreAway
from engine.study.results import StageResult

# So long a stage is held in memory; then it is handed back, since another host may reach the store.
PATIENCE = 600.0
LONGEST_PAUSE = 10.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class PatientArtifacts:
    """The `engine.stages.runner.Weights` of a worker, and its results.

    tell: called with what is wrong at each try, and with None once it is over; may raise, to abandon the stage.
    Every method tries again while the store is away, and raises StoreAway once the patience is over or stopping is set.
    """

    def __init__(self, artifacts: Artifacts, stopping: threading.Event, tell: Callable[[str | None], None]) -> None:
        self._artifacts = artifacts
        self._stopping = stopping
        self._tell = tell

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors."""
        self._insist(lambda: self._artifacts.save(fingerprint, name, tensors))

    def load(self, fingerprint: str, name: str) -> dict[str, Tensor]:
        """Return kept tensors; ArtifactLost where they are missing or damaged."""
        return self._insist(lambda: self._artifacts.load(fingerprint, name))

    def exists(self, fingerprint: str, name: str) -> bool:
        """Return whether tensors are kept."""
        return self._insist(lambda: self._artifacts.exists(fingerprint, name))

    def delete(self, fingerprint: str, name: str) -> None:
        """Remove kept tensors."""
        self._insist(lambda: self._artifacts.delete(fingerprint, name))

    def result(self, fingerprint: str) -> StageResult | None:
        """Return a stage's result, None while it is not done; ResultDamaged where it does not read."""
        return self._insist(lambda: self._artifacts.result(fingerprint))

    def finish(self, fingerprint: str, result: StageResult) -> None:
        """Keep a stage's result."""
        self._insist(lambda: self._artifacts.finish(fingerprint, result))

    def unfinish(self, fingerprint: str) -> None:
        """Remove a stage's result."""
        self._insist(lambda: self._artifacts.unfinish(fingerprint))

    def _insist(self, call: Callable[[], T]) -> T:
        troubled = False

        def waiting(attempt: RetryCallState) -> None:
            nonlocal troubled
            error = str(attempt.outcome.exception()) if attempt.outcome else ""
            if not troubled:
                log.warning("waiting for the artifact store: %s", error)
            troubled = True
            self._tell(error)

        retrying = Retrying(
            retry=retry_if_exception_type(StoreAway),
            wait=wait_exponential(multiplier=0.25, max=LONGEST_PAUSE),
            stop=stop_after_delay(PATIENCE) | stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=waiting,
            reraise=True,
        )
        answer = retrying(call)
        if troubled:
            log.info("the artifact store is back")
            self._tell(None)
        return answer
