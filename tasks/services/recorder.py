"""Recording the stream of events in the database, and reaping dead workers, in one process of each home."""

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from data.database.database import Database, DatabaseError
from data.database.events import Event, EventError
from data.private import private_folder
from data.queries.launches import newest_event
from data.settings import Settings
from tasks.broker.connection import client
from tasks.broker.durable import write_through
from tasks.queue.scripts import PREFIX
from tasks.queue.telemetry import EVENTS, event_order, last_event, read_event
from tasks.queue.timing import Timing

GROUP = "recorder"
CONSUMER = "recorder"
REFUSED = PREFIX + "refused"

REFUSED_CHARACTERS = 20_000

BATCH = 1000
# Seconds between batches, in which readers open the database; a page may show events half a second late.
PAUSE = 0.3
BLOCK_MS = 500
# Seconds between attempts to write the database, for example to a full disk.
DATABASE_PAUSE = 2.0

log = logging.getLogger(__name__)

Entries = Sequence[tuple[str, dict[str, str]]]


def record(config: Settings, timing: Timing, stopping: threading.Event) -> None:
    """Record events and reap leases until `stopping` is set, once no other recorder of this home runs."""
    # The reaper imports Celery, which commands that only record waiting events do not need.
    from tasks.services.reaper import reap

    private_folder(config.home)
    with _only_recorder(config, stopping) as alone:
        if not alone:
            return
        database = Database(config.database)
        redis = client(config, patience=5.0)
        reaper = threading.Thread(target=reap, args=(config, timing, stopping), name="reaper", daemon=True)
        reaper.start()
        threading.Thread(target=write_through, args=(config, stopping), name="redis-log", daemon=True).start()
        log.info("recording into %s", config.database)
        pending, said = True, ""
        while not stopping.is_set():
            try:
                if pending:
                    database.ensure()
                    follow(redis, database)
                drained = drain(redis, database, pending)
                pending, said = False, ""
                if drained:
                    stopping.wait(PAUSE)
            except (RedisError, DatabaseError) as error:
                # Events that were read but not acknowledged are claimed again once Redis or the disk is back.
                pending = True
                reason = f"Redis does not answer: {error}" if isinstance(error, RedisError) else str(error)
                # Another program may have the database open for hours.
                if reason != said:
                    log.warning("%s", reason)
                said = reason
                stopping.wait(0.5 if isinstance(error, RedisError) else DATABASE_PAUSE)
        _drain_rest(redis, database)
        reaper.join(timeout=1.0)


def drain_idle(config: Settings) -> None:
    """Record the events that wait in the stream, unless a recorder of this home runs."""
    try:
        with FileLock(_lock_path(config), timeout=0):
            database = Database(config.database)
            database.ensure()
            redis = client(config)
            drain(redis, database, pending=True, block=None)
            _drain_rest(redis, database)
    except Timeout:
        return


def drain_own(config: Settings) -> None:
    """Call `drain_idle` if Redis is this home's own; the Redis of REDIS_URL has a recorder of its own."""
    if config.redis_url is None:
        drain_idle(config)


def drain(redis: Redis, database: Database, pending: bool, block: int | None = BLOCK_MS) -> int:
    """Record one batch of events, acknowledge and trim it, and return its size.

    pending: begin with events that an earlier recorder read but did not acknowledge. block: milliseconds to wait for
    events, None not to wait.
    """
    join(redis)
    entries: list[tuple[str, dict[str, str]]] = []
    if pending:
        entries = _claim_pending(redis)
    if not entries:
        answer: Any = redis.xreadgroup(GROUP, CONSUMER, {EVENTS: ">"}, count=BATCH, block=block)
        entries = [entry for _, batch in answer or [] for entry in batch]
    if entries:
        _record(redis, database, entries)
        redis.xack(EVENTS, GROUP, *[identifier for identifier, _ in entries])
        missed = _missed(redis)
        if missed:
            _record(redis, database, missed)
            redis.xack(EVENTS, GROUP, *[identifier for identifier, _ in missed])
        _trim(redis, max(event_order(identifier) for identifier, _ in [*entries, *missed]))
    return len(entries)


def _drain_rest(redis: Redis, database: Database) -> None:
    try:
        while drain(redis, database, pending=False, block=None):
            continue
    except (RedisError, DatabaseError) as error:
        log.warning("the last events are not recorded; they wait in Redis: %s", error)


def _claim_pending(redis: Redis) -> list[tuple[str, dict[str, str]]]:
    entries: list[tuple[str, dict[str, str]]] = []
    start = "0-0"
    while True:
        # The answer has two items from Redis 6 and three from Redis 7.
        answer: Any = redis.xautoclaim(EVENTS, GROUP, CONSUMER, min_idle_time=0, start_id=start, count=BATCH)
        start, claimed = answer[:2]
        entries += [entry for entry in claimed if entry[1] is not None]
        if start == "0-0":
            return entries


def _record(redis: Redis, database: Database, entries: Entries) -> None:
    """Record entries, and set those aside in Redis that can never be recorded, so that they do not block others."""
    events: list[Event] = []
    for identifier, fields in entries:
        try:
            events.append(read_event(identifier, fields))
        except (ValueError, KeyError) as error:
            _refuse(redis, identifier, fields, error)
    while events:
        try:
            database.record(events)
            return
        except EventError as error:
            refused = error.event
            _refuse(redis, refused.id, {"kind": refused.kind, "body": json.dumps(dict(refused.body))}, error)
            events = [event for event in events if event.id != refused.id]


def _refuse(redis: Redis, identifier: str, fields: dict[str, str], error: Exception) -> None:
    log.error("event %s cannot be recorded and is set aside in %s: %s", identifier, REFUSED, str(error)[:500])
    # What Ticketscope writes is never longer; anything else is cut so that Redis cannot fill up.
    cut = {name[:100]: value[:REFUSED_CHARACTERS] for name, value in list(fields.items())[:10]}
    entry: dict[Any, Any] = {**cut, "event": identifier, "error": str(error)[:1000]}
    redis.xadd(REFUSED, entry, maxlen=1000)


def _missed(redis: Redis) -> list[tuple[str, dict[str, str]]]:
    """Return entries that Redis delivered in an answer that was lost, so that they are not recorded yet."""
    waiting: Any = redis.xpending(EVENTS, GROUP)
    return _claim_pending(redis) if waiting["pending"] else []


def _trim(redis: Redis, last: tuple[int, int]) -> None:
    # With one group, one consumer and no pending entry, all entries up to this one are recorded.
    redis.xtrim(EVENTS, minid=f"{last[0]}-{last[1] + 1}", approximate=False)


def join(redis: Redis) -> None:
    """Create the stream and the recorder's group, which starts at the first event, unless they exist."""
    try:
        redis.xgroup_create(EVENTS, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def follow(redis: Redis, database: Database) -> None:
    """Make new events get higher ids than any in the database, which would ignore them otherwise.

    Ids begin with the time, so that a new Redis whose clock is behind that of the one before would give lower ones.
    """
    join(redis)
    newest = newest_event(database)
    if event_order(last_event(redis)) < event_order(newest):
        redis.execute_command("XSETID", EVENTS, newest)  # type: ignore[no-untyped-call]


@contextmanager
def _only_recorder(config: Settings, stopping: threading.Event) -> Iterator[bool]:
    """Hold the lock of this home's recorder within the block; yield False if `stopping` is set while it waits."""
    lock = FileLock(_lock_path(config))
    warned = False
    while not stopping.is_set():
        try:
            with lock.acquire(timeout=0.5):
                yield True
                return
        except Timeout:
            if not warned:
                log.warning("another recorder holds %s; waiting for it to end", lock.lock_file)
            warned = True
    yield False


def _lock_path(config: Settings) -> str:
    return str(config.home / "recorder.lock")
