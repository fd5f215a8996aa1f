"""Celery as plain dispatch: it carries (fingerprint, attempt) to whichever worker is free, and nothing else."""

from collections.abc import Iterable
from functools import lru_cache

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from data.settings import Settings, settings
from tasks.broker.connection import OVER_NETWORK, celery_url
from tasks.queue.leases import QUEUE, Message
from tasks.queue.transport import TASK

__all__ = ["TASK", "make_app", "send"]

# Priorities, the smaller first: what a dead worker had in hand does not wait behind all that has not begun.
BEGUN, NEW = 0, 3
# A worker that waits for messages on a dead connection notices after about twice as many seconds.
CHECK_SECONDS = 5


@lru_cache(maxsize=4)
def make_app(config: Settings) -> Celery:
    """Return this process's Celery application for the Redis that some settings choose."""
    # A transport that is named beside the URL loses to the scheme of a socket's.
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.queue.transport:Transport"))
    app = Celery("ticketscope", broker=celery_url(config), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A lease, not Celery, brings back what a dead worker had (`tasks.queue.leases`); a message is done once
        # delivered.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        broker_transport_options={
            "visibility_timeout": 30 * 24 * 3600,
            **OVER_NETWORK,
            "health_check_interval": CHECK_SECONDS,
            "retry_on_timeout": True,
            # Two lists, those of `leases.LISTS`, the first of which is emptied first.
            "priority_steps": [BEGUN, NEW],
            "queue_order_strategy": "priority",
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        enable_utc=True,
    )
    return app


def send(messages: Iterable[Message], through: Celery | None = None) -> None:
    """Send messages to the workers; one that is lost on its way is sent again by the reaper."""
    waiting = list(messages)
    if not waiting:
        return
    celery = through or make_app(settings())
    with celery.producer_pool.acquire(block=True) as producer:
        for message in waiting:
            priority = NEW if message.attempt == 1 else BEGUN
            arguments = (message.fingerprint, message.attempt)
            celery.send_task(TASK, args=arguments, producer=producer, priority=priority)
