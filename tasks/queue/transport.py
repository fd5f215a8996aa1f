"""Checking each message of the queue before Celery sees it: only calls of the one task pass, written anew.

Celery refuses formats other than JSON. But a message of another structure ends the worker that receives it and returns
to the queue, where it ends the next worker.
"""

import base64
import json
import logging
from typing import Any
from uuid import uuid4

from kombu.transport import redis as kombu_redis

from tasks.queue.leases import FINGERPRINT, Message

TASK = "ticketscope.train"
JSON = "application/json"

# A call has about 200 characters.
BODY_LIMIT = 4_096
# Attempts count up from 1; no stage reaches this number.
ATTEMPT_LIMIT = 1_000_000

log = logging.getLogger(__name__)


def read(delivered: Any) -> Message:
    """Return the stage and attempt that a Celery message names; ValueError if it is not a plain call of the task."""
    try:
        headers, body = delivered["headers"], delivered["body"]
        encoding = delivered["properties"]["body_encoding"]
        kind, task = delivered["content-type"], headers["task"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"it does not have the structure of a Celery message ({error!r})") from None
    if kind != JSON or task != TASK or encoding != "base64" or headers.get("compression") is not None:
        raise ValueError(f"it is no plain {JSON} call of {TASK}")
    if not isinstance(body, str) or len(body) > BODY_LIMIT:
        raise ValueError(f"its body is no text of at most {BODY_LIMIT:,} characters")
    try:
        arguments, named, _ = json.loads(base64.b64decode(body, validate=True))
        fingerprint, attempt = arguments
    except (ValueError, TypeError, RecursionError):
        raise ValueError("its body does not hold a fingerprint and an attempt") from None
    if named or not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise ValueError("its first argument is no fingerprint, or it has named ones")
    if type(attempt) is not int or not 1 <= attempt <= ATTEMPT_LIMIT:
        raise ValueError(f"its attempt is no whole number from 1 to {ATTEMPT_LIMIT:,}")
    return Message(fingerprint, attempt)


def celery_message(message: Message, queue: str) -> dict[str, Any]:
    """Return a message as Celery writes it to Redis, without links, times, replies or other instructions."""
    identifier = str(uuid4())
    call = [[message.fingerprint, message.attempt], {}, {}]
    return {
        "body": base64.b64encode(json.dumps(call).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": JSON,
        "headers": {"lang": "py", "task": TASK, "id": identifier, "root_id": identifier},
        "properties": {
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "body_encoding": "base64",
        },
    }


class _Unacknowledged(kombu_redis.QoS):
    """Messages that are not acknowledged; the reaper sends those of a dead worker again, so Redis must not."""

    def restore_visible(self, *arguments: Any, **options: Any) -> None:
        del arguments, options


class _Channel(kombu_redis.Channel):
    QoS = _Unacknowledged

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            _log_dropped(error)
            return True


class Transport(kombu_redis.Transport):
    """Kombu's transport over Redis, with a check of each message before Celery sees it."""

    Channel = _Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            call = read(message)
        except ValueError as error:
            _log_dropped(error)
            return
        super()._deliver(celery_message(call, queue), queue)  # type: ignore[no-untyped-call]


def _log_dropped(error: Exception) -> None:
    # The content is not logged, since it may be large and comes from a stranger.
    log.error("a message in the queue is dropped: %s", str(error)[:300])
