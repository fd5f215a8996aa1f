"""Tying a stage in training to its lease, so that a worker that lost the lease publishes and saves nothing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis

from engine.study.results import Epoch
from tasks.queue import leases
from tasks.queue.leases import Message
from tasks.queue.timing import Timing

SHOW_SECONDS = 0.25

log = logging.getLogger(__name__)


class LeasedObserver:
    """An `engine.stages.run.Observer` for a stage that this worker has claimed.

    Epochs and commits raise LeaseLost if another worker has the stage by now, and StageCancelled if no study needs it.
    trained: called after each epoch with its number. slow: called with the reason if it trains without CUDA graphs.
    """

    def __init__(
        self,
        redis: Redis,
        message: Message,
        worker: str,
        timing: Timing,
        stopping: threading.Event,
        trained: Callable[[int], None] = lambda epoch: None,
        slow: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._redis = redis
        self._message = message
        self._worker = worker
        self._timing = timing
        self._stopping = stopping
        self._trained = trained
        self._slow = slow
        self._shown_at = -SHOW_SECONDS
        self._last_epoch_at: float | None = None
        self._seconds: float | None = None

    def epoch(self, row: Epoch, total: int) -> bool:
        """Publish the live progress, a few times a second at most; return False once this worker has to stop."""
        self._trained(row.epoch)
        now = time.monotonic()
        # The speed counts the time from epoch to epoch, since row.seconds, used for the first epoch alone, is this
        # stage's share of a device. It is smoothed, since single epochs of a small network vary by half.
        shown = row.seconds
        if self._last_epoch_at is not None:
            seconds = now - self._last_epoch_at
            self._seconds = seconds if self._seconds is None else 0.8 * self._seconds + 0.2 * seconds
            shown = self._seconds
        self._last_epoch_at = now
        if now - self._shown_at >= SHOW_SECONDS or row.epoch == total:
            self._shown_at = now
            fields: dict[str, str | float] = {
                "epoch": row.epoch,
                "epochs": total,
                "train_loss": row.train_loss,
                "test_accuracy": row.test_accuracy,
                "epochs_per_second": 1 / max(shown, 1e-9),
                "worker": self._worker,
                "updated": time.time(),
            }
            # An hour outlasts the next epoch; a change of the stage's state removes the progress earlier.
            leases.show_progress(self._redis, self._message, fields, seconds=3600)
        return not self._stopping.is_set()

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Publish epochs if this worker still has the stage, which Redis decides in the same step."""
        leases.renew(self._redis, self._message, self._timing.lease, rows)

    def without_graphs(self, why: str) -> None:
        """Log and report that the stage is trained without CUDA graphs."""
        log.warning("stage %s trains without CUDA graphs, more slowly: %s", self._message.fingerprint, why)
        self._slow(why)
