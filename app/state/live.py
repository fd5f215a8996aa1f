"""Live state from Redis, cached for a second: running stages, workers, and how many of them train a study."""

import time
from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from app.state import audience
from app.state.cache import cached
from app.state.queries import FINISHED
from data.queries.studies import StudyRecord
from tasks.broker.connection import BrokerError, connect, errors_explained
from tasks.queue import leases, telemetry
from tasks.queue.telemetry import LiveProgress, Worker
from tasks.studies import time_left
from tasks.studies.time_left import Places

# Seconds that a page retries a Redis that does not answer: it reports the failure at once.
PATIENCE = 0.0
# What a viewer reads of a Redis that does not answer.
NO_ANSWER = "The queue does not answer at the moment; this page tries again."
# Seconds for which an answer of Redis is cached.
LIFETIME = 1.0

# Seconds that the database may be behind a launch or a retry; longer, and no recorder runs.
BEHIND = 20.0
_EXPECTED = "studies_expected_to_change"
_DELETED = "studies_deleted"


def expect_change(study_id: str) -> None:
    """Note that a study was just launched or retried, which the database does not show yet."""
    st.session_state.setdefault(_EXPECTED, {})[study_id] = time.monotonic()


def is_expected(study_id: str) -> bool:
    """Return whether `expect_change` was called for a study so recently that the database may be behind."""
    since = st.session_state.get(_EXPECTED, {}).get(study_id)
    return since is not None and time.monotonic() - since < BEHIND


def expect_deletion(study_id: str) -> None:
    """Note that a study was just deleted, although the database still has its rows."""
    st.session_state.setdefault(_DELETED, set()).add(study_id)


def expect_return(study_id: str) -> None:
    """Note that a study was just brought back from the Trash."""
    deleted().discard(study_id)


def deleted() -> set[str]:
    """Return the ids of the studies that this visitor has deleted."""
    return st.session_state.get(_DELETED, set())  # type: ignore[no-any-return]


def progress(fingerprints: tuple[str, ...]) -> tuple[dict[str, LiveProgress], str | None]:
    """Return the progress of the running ones among some stages, and why it is unknown, if Redis does not answer.

    Viewers do not see the names of workers.
    """
    try:
        found = _progress(fingerprints)
    except BrokerError as error:
        return {}, NO_ANSWER if audience.is_viewer() else str(error)
    if audience.is_viewer():
        found = {fingerprint: replace(stage, worker="") for fingerprint, stage in found.items()}
    return found, None


def workers() -> tuple[list[Worker], str | None]:
    """Return the live workers, and why they are unknown, if Redis does not answer."""
    known, trouble = known_workers()
    return [worker for worker in known if not worker.is_silent()], trouble


def known_workers() -> tuple[list[Worker], str | None]:
    """Return the live and the silent workers, and why they are unknown, if Redis does not answer."""
    try:
        known = _known_workers()
    except BrokerError as error:
        return [], NO_ANSWER if audience.is_viewer() else str(error)
    return [_as_viewed(worker) for worker in known] if audience.is_viewer() else known, None


def _as_viewed(worker: Worker) -> Worker:
    """Return a worker without the name of its host and the reasons why it waits or is slow, which may name paths."""
    trouble, slow = None if worker.trouble is None else "", worker.slow and replace(worker.slow, why="")
    return replace(worker, name="", host="A host", trouble=trouble, warning="", slow=slow)


def queued() -> int | None:
    """Return how many stages wait for a free worker; None if Redis does not answer."""
    try:
        return _queued()
    except BrokerError:
        return None


def is_lost(record: StudyRecord) -> bool:
    """Return whether Redis lacks an unfinished study, so that nobody trains it; False if Redis does not answer."""
    if record.state in FINISHED or is_expected(record.study_id):
        return False
    try:
        return not _is_known(record.study_id)
    except BrokerError:
        return False


# Only answers are cached, by functions that raise BrokerError: a Redis that returns is seen at once.
@cached(max_entries=16, ttl=LIFETIME)
def _progress(fingerprints: tuple[str, ...]) -> dict[str, LiveProgress]:
    return telemetry.progress(fingerprints, connect(PATIENCE))


@cached(ttl=LIFETIME)
def _known_workers() -> list[Worker]:
    return telemetry.known_workers(connect(PATIENCE))


@cached(ttl=LIFETIME)
def _queued() -> int:
    return telemetry.queued(connect(PATIENCE))


@cached(max_entries=64, ttl=LIFETIME)
def _is_known(study_id: str) -> bool:
    with errors_explained():
        return leases.is_known(connect(PATIENCE), study_id)


def epochs_done(rows: pd.DataFrame, now: Mapping[str, LiveProgress]) -> pd.Series:
    """Return the number of trained epochs of each stage, from its live progress if it is running."""
    done = rows["epoch"].astype(float)
    if now:
        running = rows["fingerprint"].map({fingerprint: float(stage.epoch) for fingerprint, stage in now.items()})
        done = done.where(~(running.astype(float) > done), running).astype(float)
    return done.where(rows["state"] != "done", rows["epochs"]).astype(float)


def fraction(rows: pd.DataFrame, now: Mapping[str, LiveProgress]) -> float:
    """Return the fraction of a study's epochs that is trained, 0 to 1."""
    total = float(rows["epochs"].sum())
    return min(1.0, float(epochs_done(rows, now).sum()) / total) if total else 0.0


def places(rows: pd.DataFrame) -> Places:
    """Return how many stages of a study are trained at a time, by the live workers; none if Redis does not answer."""
    try:
        return time_left.places(_known_workers(), rows)
    except BrokerError:
        return Places(0)


def zone() -> ZoneInfo | None:
    """Return the time zone of this visitor's browser, None if it names none that is known here."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
