"""Sending the stages of dead workers to other workers."""

import logging
import threading

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from data.settings import Settings
from tasks.broker.connection import client
from tasks.queue import celery_app, leases
from tasks.queue.timing import Timing

log = logging.getLogger(__name__)


def reap(config: Settings, timing: Timing, stopping: threading.Event) -> None:
    """Advance the time of leases, and queue stages whose leases expired again, until `stopping` is set."""
    redis = client(config)
    celery = celery_app.make_app(config)
    clock = ""
    while not stopping.wait(timing.reap):
        try:
            # Longer pauses do not count: workers cannot renew leases without Redis, or while this machine sleeps.
            clock = leases.tick(redis, clock, timing.reap)
            messages = leases.reap(redis, timing.stale)
            celery_app.send(messages, celery)
        except (RedisError, OperationalError) as error:
            log.warning("cannot look for lost leases: %s", error)
            continue
        if messages:
            log.info("sent %d stages again", len(messages))
