"""Completing results that an older version saved, from their weights, in the artifacts and the database."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from filelock import FileLock, Timeout
from redis import Redis

from data.artifacts.store import Artifacts, ResultDamaged
from data.database.database import Database
from data.queries.incomplete import Incomplete, incomplete
from data.settings import Settings
from engine.study.plan import Stage
from engine.study.results import AGAINST_DENSE, StageResult
from tasks.broker.connection import client, errors_explained
from tasks.queue import telemetry
from tasks.services.recorder import drain_own
from tasks.studies.lock import study_lock

# A function that is called with the number of results that are done and the number of all results.
CountReport = Callable[[int, int], None]

# Events are published in batches, since the recorder reads all overlaps once for each of its batches.
BATCH = 50

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remeasured:
    """The numbers of completed results, and of those that cannot be completed since their weights are missing."""

    completed: int
    lost: int


def remeasure(config: Settings, report: CountReport, at_start: bool = False) -> Remeasured | None:
    """Complete recorded results that lack something, in the artifacts and, through the recorder, in the database.

    It may run beside everything else, and be killed at any moment and run again. Returns None while another one runs.
    at_start: skip results whose weights are not listed, and leave the recording to the recorder. Raises BrokerError,
    DatabaseError and ArtifactError.
    """
    try:
        with FileLock(config.home / "remeasure.lock", timeout=0), errors_explained(config):
            return _remeasure(config, client(config), report, at_start)
    except Timeout:
        return None


def _remeasure(config: Settings, redis: Redis, report: CountReport, at_start: bool) -> Remeasured:
    if not at_start:
        # Events of an earlier run may still wait to be recorded.
        drain_own(config)
    rows = incomplete(Database(config.database))
    if not rows:
        return Remeasured(0, 0)
    artifacts = Artifacts(config.artifacts)
    weights = artifacts.all_weights()
    # Without weights, a result may still be complete in the artifacts, if an earlier run was killed before its event.
    selected = [row for row in rows if _can_complete(row, weights)] if at_start else rows
    completed, events = 0, list[tuple[str, Mapping[str, Any]]]()

    def publish() -> None:
        telemetry.publish(redis, events)
        events.clear()
        if not at_start:
            drain_own(config)

    for number, row in enumerate(selected):
        report(number, len(selected))
        result, is_whole = _completed(config, artifacts, row)
        completed += is_whole
        if result is not None:
            events.append(("completed", _body(result)))
        if len(events) == BATCH:
            publish()
    publish()
    report(len(selected), len(selected))
    return Remeasured(completed, len(rows) - completed)


def _can_complete(row: Incomplete, weights: set[tuple[str, str]]) -> bool:
    if (row.fingerprint, "mask") not in weights:
        return False
    return row.mask or any((row.root, name) in weights for name in ("initial", "trained"))


def _completed(config: Settings, artifacts: Artifacts, row: Incomplete) -> tuple[StageResult | None, bool]:
    """Return a result with more than the database has, None if there is none, and whether the result is complete."""
    # This imports PyTorch, which is not needed if no result can be completed.
    from engine.stages.complete import complete, lacks

    stage = Stage.model_validate_json(row.spec)
    try:
        before = artifacts.result(row.fingerprint)
    except ResultDamaged as error:
        log.warning("%s", error)
        return None, False
    if before is None:
        return None, False
    after = complete(stage, before, artifacts)
    if after is not None and after is not before:
        # Nothing is deleted under the lock, so a result does not come back after its study was deleted.
        with study_lock(config):
            if artifacts.result(row.fingerprint) != before:
                return None, False
            artifacts.finish(row.fingerprint, after)
    after = after or before
    return (None if after.mask is None else after), not lacks(stage, after)


def _body(result: StageResult) -> dict[str, Any]:
    levels = []
    for overlap in result.overlaps:
        counts = [count for count in overlap.counts if count.expected is not None]
        if overlap.pair in AGAINST_DENSE and counts:
            levels.append(
                {
                    "pair": overlap.pair,
                    "layers": [count.layer for count in counts],
                    "ps": [count.p for count in counts],
                    "expected": [count.expected for count in counts],
                }
            )
    return {"fingerprint": result.fingerprint, "mask": result.mask, "levels": levels}
