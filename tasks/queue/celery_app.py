"""Celery, which only carries messages to free workers: a fingerprint and an attempt each."""

from collections.abc import Iterable
from functools import lru_cache

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from data.settings import Settings, settings
from tasks.broker.connection import OVER_NETWORK, celery_url
from tasks.queue.leases import QUEUE, Message
from tasks.queue.transport import TASK

__all__ = ["TASK", "make_app", "send"]

# Priorities, the smaller first: stages that were begun before, such as a dead worker's, come before new ones.
BEGUN, NEW = 0, 3
# A worker that waits for messages on a dead connection notices after about twice this time, in seconds.
CHECK_SECONDS = 5


@lru_cache(maxsize=4)
def make_app(config: Settings) -> Celery:
    """Return this process's Celery application for the Redis that some settings choose."""
    # The transport is registered by scheme, which for the URL of a socket overrides a transport that is set by name.
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.queue.transport:Transport"))
    app = Celery("ticketscope", broker=celery_url(config), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A lease, not Celery, brings back the stages of a dead worker (`tasks.queue.leases`), so a message is
        # acknowledged on delivery.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        broker_transport_options={
            "visibility_timeout": 30 * 24 * 3600,
            **OVER_NETWORK,
            "health_check_interval": CHECK_SECONDS,
            "retry_on_timeout": True,
            # These two priorities are the lists of `leases.LISTS`; workers empty the first one first.
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
    """Send messages to the workers; the reaper sends a lost message again."""
    batch = list(messages)
    if not batch:
        return
    celery = through or make_app(settings())
    with celery.producer_pool.acquire(block=True) as producer:
        for message in batch:
            priority = NEW if message.attempt == 1 else BEGUN
            arguments = (message.fingerprint, message.attempt)
            celery.send_task(TASK, args=arguments, producer=producer, priority=priority)
