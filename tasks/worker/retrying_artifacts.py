"""The artifact store as a worker uses it: while the store is full or does not answer, the worker retries."""

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

from data.artifacts.store import Artifacts, ArtifactsUnavailable
from engine.study.results import StageResult

# Seconds after which the stage is returned to the queue, since another host may reach the store.
PATIENCE = 600.0
LONGEST_PAUSE = 10.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class RetryingArtifacts:
    """The `engine.stages.weights.Weights` of a worker, with the results; every method retries while the store is away.

    report: called with the error after each failed try, and with None after the success; it may raise to abandon the
    stage. Every method raises ArtifactsUnavailable after PATIENCE seconds or once stopping is set.
    """

    def __init__(self, artifacts: Artifacts, stopping: threading.Event, report: Callable[[str | None], None]) -> None:
        self._artifacts = artifacts
        self._stopping = stopping
        self._report = report

    def save(self, fingerprint: str, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Save tensors."""
        self._retry(lambda: self._artifacts.save(fingerprint, name, tensors))

    def load(self, fingerprint: str, name: str) -> dict[str, Tensor]:
        """Return saved tensors; ArtifactLost if they are missing or damaged."""
        return self._retry(lambda: self._artifacts.load(fingerprint, name))

    def exists(self, fingerprint: str, name: str) -> bool:
        """Return whether tensors are saved."""
        return self._retry(lambda: self._artifacts.exists(fingerprint, name))

    def delete(self, fingerprint: str, name: str) -> None:
        """Remove saved tensors."""
        self._retry(lambda: self._artifacts.delete(fingerprint, name))

    def result(self, fingerprint: str) -> StageResult | None:
        """Return a stage's result, None while it is not done; ResultDamaged if it cannot be read."""
        return self._retry(lambda: self._artifacts.result(fingerprint))

    def finish(self, fingerprint: str, result: StageResult) -> None:
        """Save a stage's result."""
        self._retry(lambda: self._artifacts.finish(fingerprint, result))

    def unfinish(self, fingerprint: str) -> None:
        """Remove a stage's result."""
        self._retry(lambda: self._artifacts.unfinish(fingerprint))

    def _retry(self, call: Callable[[], T]) -> T:
        troubled = False

        def waiting(attempt: RetryCallState) -> None:
            nonlocal troubled
            error = str(attempt.outcome.exception()) if attempt.outcome else ""
            if not troubled:
                log.warning("waiting for the artifact store: %s", error)
            troubled = True
            self._report(error)

        retrying = Retrying(
            retry=retry_if_exception_type(ArtifactsUnavailable),
            wait=wait_exponential(multiplier=0.25, max=LONGEST_PAUSE),
            stop=stop_after_delay(PATIENCE) | stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=waiting,
            reraise=True,
        )
        answer = retrying(call)
        if troubled:
            log.info("the artifact store is back")
            self._report(None)
        return answer
