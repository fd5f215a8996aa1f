"""Sending the stages of dead workers to other workers."""

import logging
import threading

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from data.settings import Settings
from tasks.broker.connection import client
from tasks.queue import celery_app, leases
from tasks.queue.leases import Timing

log = logging.getLogger(__name__)


def reap(config: Settings, timing: Timing, stopping: threading.Event) -> None:
    """Queue stages whose leases expired again, every `timing.reap` seconds until `stopping` is set."""
    redis = client(config)
    celery = celery_app.make_app(config)
    away = False
    while not stopping.wait(timing.reap):
        try:
            if away:
                redis.ping()
                away = False
                stopping.wait(1.5 * timing.heartbeat)
                continue
            messages = leases.reap(redis, timing.stale)
            celery_app.send(messages, celery)
        except (RedisError, OperationalError) as error:
            log.warning("cannot look for lost leases: %s", error)
            # Without Redis no worker could renew its lease, so live ones get time to do so before the next search.
            away = True
            continue
        if messages:
            log.info("sent %d stages again", len(messages))
