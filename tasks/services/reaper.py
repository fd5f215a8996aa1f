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
    """Every `timing.reap` seconds, send the stages whose leases expired again, until `stopping` is set."""
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
            # While Redis was gone nobody could renew a lease: live workers do so before dead ones are looked for.
            away = True
            continue
        if messages:
            log.info("sent %d stages again", len(messages))
