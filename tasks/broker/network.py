"""The Redis across a network: how long one that does not answer is waited for, and how soon it is noticed."""

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis.backoff import ExponentialBackoff
from redis.retry import Retry

T = TypeVar("T")

CONNECT_SECONDS = 3.0
# Every answer comes sooner: what blocks on purpose blocks for less than a second (`recorder.BLOCK_MS`, Celery's BRPOP).
ANSWER_SECONDS = 5.0
# An idle connection is tried before it is used again, so that a command is not sent into a dead one.
IDLE_SECONDS = 10

# Without these a connection whose packets are swallowed looks alive for a quarter of an hour or longer.
OVER_NETWORK: dict[str, Any] = {
    "socket_timeout": ANSWER_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
        if hasattr(socket, name)
    },
    "health_check_interval": IDLE_SECONDS,
}


class Patience(Retry):
    """Tries again for some seconds, whatever each try takes; at least once unless the seconds are 0."""

    def __init__(self, seconds: float) -> None:
        # Without end as far as the base class counts.
        super().__init__(ExponentialBackoff(cap=0.5, base=0.02), retries=-1 if seconds else 0)
        self._seconds = seconds

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Do something until it succeeds; raises its last error once patience is at an end."""
        deadline = time.monotonic() + self._seconds
        failures = 0

        def worth_it(error: Exception) -> bool:
            nonlocal failures
            failures += 1
            if is_retryable is not None and not is_retryable(error):
                return False
            if failures > 1 and time.monotonic() > deadline:
                # The base class leaves this out when it gives up by our word.
                fail(error, failures) if with_failure_count else fail(error)
                return False
            return True

        return super().call_with_retry(do, fail, worth_it, with_failure_count)
