"""What ties a stage in training to its lease: nothing is published or kept by a worker that has lost it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis

from engine.study.results import Epoch
from tasks.queue import leases
from tasks.queue.leases import Message, Timing

SHOW_SECONDS = 0.25

log = logging.getLogger(__name__)


class LeasedObserver:
    """An `engine.stages.runner.Observer` for a stage that this worker has claimed.

    Both methods raise LeaseLost when another worker has the stage by now, and Cancelled when nobody wants it.
    trained: called after every epoch.
    """

    def __init__(
        self,
        redis: Redis,
        message: Message,
        worker: str,
        timing: Timing,
        stopping: threading.Event,
        trained: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._message = message
        self._worker = worker
        self._timing = timing
        self._stopping = stopping
        self._trained = trained
        self._shown_at = -SHOW_SECONDS
        self._heard_at: float | None = None
        self._seconds: float | None = None

    def epoch(self, row: Epoch, total: int) -> bool:
        """Show the epoch to whoever watches, a few times a second at most; False once this worker has to stop."""
        self._trained()
        now = time.monotonic()
        # From one epoch to the next: beside others on a GPU, an epoch's own seconds are only its share.
        seconds = row.seconds if self._heard_at is None else now - self._heard_at
        self._heard_at = now
        # Smoothed: single epochs of a small network vary by half.
        self._seconds = seconds if self._seconds is None else 0.8 * self._seconds + 0.2 * seconds
        if now - self._shown_at >= SHOW_SECONDS or row.epoch == total:
            self._shown_at = now
            fields: dict[str, str | float] = {
                "epoch": row.epoch,
                "epochs": total,
                "train_loss": row.train_loss,
                "test_accuracy": row.test_accuracy,
                "epochs_per_second": 1 / max(self._seconds, 1e-9),
                "worker": self._worker,
                "updated": time.time(),
            }
            # Kept well beyond the next epoch, however long that takes; it goes with the stage's state.
            leases.show_progress(self._redis, self._message, fields, seconds=3600)
        return not self._stopping.is_set()

    def commit(self, rows: Sequence[Epoch]) -> None:
        """Publish epochs, if the stage is still ours: asked of Redis here and now, not remembered."""
        leases.renew(self._redis, self._message, self._timing.lease, rows)
