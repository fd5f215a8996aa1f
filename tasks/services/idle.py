"""Whether the workers of a host have had nothing to do for some time, so that a batch job may end."""

import time
from collections.abc import Callable, Iterable

from redis import Redis
from redis.exceptions import RedisError

from tasks.queue import contents
from tasks.worker import host as this_host

# Seconds between two looks at the queue.
LOOK = 1.0


class Idle:
    """Whether nothing was queued, and no worker of this host had a stage, for some seconds; call it often.

    over: whether the time is over. pids: returns the processes of the workers. A stage that waits for its parent, which
    another host trains, is nothing to do until it is queued. While Redis does not answer, nothing is known, and the
    time begins anew.
    """

    def __init__(self, redis: Redis, seconds: float, pids: Callable[[], Iterable[int]]) -> None:
        self._redis = redis
        self._seconds = seconds
        self._pids = pids
        self.over = False
        self._since = self._looked_at = time.monotonic()

    def __call__(self) -> bool:
        """Look at the queue, at most once a second, and return whether the time is over."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK:
            self.look(now)
        return self.over

    def look(self, now: float) -> None:
        """Look at the queue; now: by the monotonic clock."""
        self._looked_at = now
        try:
            busy = contents.has_work(self._redis, {this_host.worker_name(pid) for pid in self._pids()})
        except RedisError:
            busy = True
        if busy:
            self._since = now
        self.over = now - self._since >= self._seconds
