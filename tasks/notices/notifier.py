"""Telling people about studies while the recorder runs, in a thread that recording does not wait for."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from filelock import FileLock, Timeout
from redis.exceptions import RedisError

from data.database.database import Database, DatabaseError
from data.queries import revision, studies
from data.settings import Settings
from tasks.broker.connection import BrokerError, client
from tasks.notices import deliver, news, outbox
from tasks.notices.deliver import NotifyError
from tasks.notices.news import Notice
from tasks.notices.outbox import Announced, Letter, Outbox
from tasks.queue import leases, telemetry
from tasks.queue.telemetry import Worker
from tasks.units import duration, plural

# Seconds between two looks at the studies.
EVERY = 5.0
# An end that was recorded longer ago than this is no news, such as one of an imported study.
NEWS = timedelta(days=1)

log = logging.getLogger(__name__)


class Notifier:
    """Finds out what there is to tell, and tells it once.

    stuck_seconds: the time after which a study without a training is stuck. pauses: as `outbox.PAUSES`.
    """

    def __init__(
        self,
        config: Settings,
        stuck_seconds: float = 60.0 * news.STUCK_MINUTES,
        pauses: tuple[float, ...] = outbox.PAUSES,
    ) -> None:
        self._urls = config.notify or ""
        self._url = config.url
        self._database = Database(config.database)
        self._redis = client(config, 0.0)
        self._file = config.home / "notices.json"
        self._stuck_seconds = stuck_seconds
        self._pauses = pauses
        # Since when no stage of a study has been in training or has ended, and how many were done by then.
        self._still: dict[str, tuple[float, int]] = {}

    def look(self) -> None:
        """Look at all studies once, note what is to be announced, and send what is due.

        Raises DatabaseError, BrokerError or RedisError if one of these does not answer, and OSError if the file cannot
        be written; nothing is announced twice or lost by that.
        """
        box = outbox.load(self._file)
        rows = {str(row["study_id"]): row for row in studies.studies(self._database).to_dict("records")}
        first, box = box is None, box or Outbox()
        before = asdict(box)
        for notice in self._news(rows, box):
            # Of studies that had ended before the first look, nothing is announced.
            if notice.kind == "stuck" or not first:
                box.letters.append(Letter(notice.title, notice.body))
        box.forget_all_but(rows)
        if first or asdict(box) != before:
            # From here on, it is announced after a restart too.
            box.save(self._file)
        for letter in [letter for letter in box.letters if letter.due <= time.time()]:
            self._send(letter, box)
            box.save(self._file)

    def _news(self, rows: Mapping[str, Mapping[str, Any]], box: Outbox) -> Iterator[Notice]:
        """Yield what was not announced yet, and note it as announced."""
        attempts = revision.attempts(self._database, [name for name, row in rows.items() if row["state"] == "failed"])
        workers = telemetry.known_workers(self._redis)
        for study_id, row in rows.items():
            announced = box.of(study_id)
            if row["state"] in ("queued", "running"):
                yield from self._stuck(row, announced, workers)
                continue
            self._still.pop(study_id, None)
            announced.stuck = False
            if row["state"] == "done" and not announced.done:
                announced.done = True
            elif row["state"] == "failed" and announced.failed != attempts[study_id] and self._is_over(study_id):
                announced.failed = attempts[study_id]
            else:
                continue
            if datetime.now(UTC) - row["finished_at"] < NEWS:
                yield news.ended(row, self._url)

    def _is_over(self, study_id: str) -> bool:
        """Return whether no stage of a study is to be trained according to Redis, which knows of a retry earlier."""
        counts = leases.counts(self._redis, study_id)
        return not counts["queued"] and not counts["running"]

    def _stuck(self, row: Mapping[str, Any], announced: Announced, workers: Sequence[Worker]) -> Iterator[Notice]:
        """Yield the notice of an unfinished study if it is stuck, and that was not announced since it last went on."""
        study_id, now = str(row["study_id"]), time.monotonic()
        why = news.standstill(self._redis, study_id, workers)
        since, done = self._still.get(study_id, (now, row["done"]))
        if why is None or done != row["done"]:
            self._still.pop(study_id, None)
            announced.stuck = False
            return
        self._still[study_id] = since, done
        if now - since >= self._stuck_seconds and not announced.stuck:
            announced.stuck = True
            yield news.stuck(row, why, self._url, self._stuck_seconds / 60)

    def _send(self, letter: Letter, box: Outbox) -> None:
        """Send a letter to the services that it has not reached, and put it away unless it is to be tried again."""
        letter.tries += 1
        try:
            failed = [s for s in deliver.deliver(self._urls, letter.title, letter.body, letter.left) if s.error]
            letter.left = [service.number for service in failed]
            why = ", ".join(f"service {service}: {service.error}" for service in failed)
        except NotifyError as error:
            why = str(error)
        if not why:
            box.letters.remove(letter)
        elif letter.tries < len(self._pauses):
            letter.due = time.time() + self._pauses[letter.tries]
            log.warning("a notice is tried again in %s: %s", duration(self._pauses[letter.tries]), why)
        else:
            box.letters.remove(letter)
            log.warning("a notice is given up after %s: %s", plural(letter.tries, "try", "tries"), why)


def keep_notifying(config: Settings, stopping: threading.Event) -> None:
    """Tell people about studies until `stopping` is set, once no other process of this home does."""
    lock = FileLock(config.home / "notices.lock")
    while not stopping.is_set():
        try:
            with lock.acquire(timeout=0.0):
                _say_services(config.notify or "")
                _keep_looking(Notifier(config), stopping)
        except Timeout:
            stopping.wait(EVERY)


def _say_services(urls: str) -> None:
    """Log which services get notices, and which addresses are of no use."""
    try:
        services = deliver.services(urls)
    except NotifyError as error:
        log.warning("%s", error)
        return
    log.info("notices go to %s", plural(len(services), "service"))
    for service in services:
        if service.error:
            log.warning("service %s of TICKETSCOPE_NOTIFY: %s", service, service.error)


def _keep_looking(notifier: Notifier, stopping: threading.Event) -> None:
    said = ""
    while not stopping.is_set():
        try:
            notifier.look()
            said = ""
        except (DatabaseError, BrokerError, RedisError, OSError) as error:
            # The recorder says so too, and waits as well.
            if str(error) != said:
                log.warning("cannot see whether there is something to tell, and will look again: %s", error)
            said = str(error)
        except Exception:  # Whatever is wrong with notices must not stop them for good.
            log.exception("cannot tell people about studies, and will try again")
        stopping.wait(EVERY)
