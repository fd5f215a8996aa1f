"""How fast a study's stages were trained in the last half minute, and before it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import pandas as pd

from tasks.queue.telemetry import LiveProgress

# Seconds before the latest event whose speeds count.
WINDOW = 30.0
# The number of stages before that window which say how fast a kind of training was that did not run within it.
HISTORY = 20
# How much faster or slower the last half minute may make a speed that was measured before it.
LEAST_DRIFT, MOST_DRIFT = 0.25, 4.0
# The most seconds between two stages of a worker that count as dispatch; in longer ones it had nothing to train.
LONGEST_GAP = 1.0

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Network, dataset and kind of a stage, on which the duration of its epochs depends.
Key = tuple[str, str, str]


class Row(NamedTuple):
    """The columns of a stage that decide how long it takes; times are seconds since 1970, and NaN where missing."""

    fingerprint: str
    kind: str
    dataset: str
    network: str
    parent: str | None
    state: str
    worker: str | None
    attempt: int
    started_at: float
    finished_at: float
    seconds: float
    epochs: int
    epoch: int
    diverged: bool
    reused: bool

    @property
    def key(self) -> Key:
        """What the duration of an epoch depends on."""
        return self.network, self.dataset, self.kind

    @property
    def wall(self) -> float | None:
        """The seconds from claim to result; None where they tell nothing about this study's speed."""
        if self.state != "done" or self.reused or self.diverged or not self.epochs:
            return None
        # Of stages trained side by side, `seconds` are a share.
        known = [value for value in (self.finished_at - self.started_at, self.seconds) if value > 0]
        return max(known, default=None)


def rows_of(stages: pd.DataFrame) -> list[Row]:
    """Return stages as rows; stages: as from `data.queries.studies.stages`."""
    columns = {name: stages[name] for name in Row._fields}
    for name in ("started_at", "finished_at"):
        columns[name] = (pd.to_datetime(columns[name], utc=True) - EPOCH).dt.total_seconds()
    columns["diverged"] = columns["diverged"].notna()
    return [Row(*values) for values in zip(*(column.tolist() for column in columns.values()), strict=True)]


class Speeds:
    """Seconds per epoch by key, as recent as they are known: of a worker's time if stages share it, else of a stage.

    beside: how many stages each worker trains now.
    """

    def __init__(
        self, rows: Sequence[Row], live: Mapping[str, LiveProgress], shared: bool, beside: Mapping[str | None, int]
    ) -> None:
        shares = _shares(rows) if shared else {}
        end = _latest(rows)
        recent: dict[Key, list[tuple[float, float]]] = {}
        earlier: dict[Key, list[tuple[float, float]]] = {}
        # A result without times, as of an older version, comes first.
        for row in sorted(rows, key=lambda row: 0.0 if math.isnan(row.finished_at) else row.finished_at):
            if (wall := row.wall) is None:
                continue
            seconds = shares.get(row.fingerprint, wall) / row.epochs
            # The last attempt of a stage that was interrupted trained only some of its epochs.
            if row.finished_at >= end - WINDOW and row.attempt <= 1:
                recent.setdefault(row.key, []).append((seconds, min(row.epochs, WINDOW / seconds)))
            else:
                earlier.setdefault(row.key, []).append((seconds, row.epochs))
        for row in rows:
            stage = live.get(row.fingerprint)
            if row.state == "running" and stage is not None and stage.epochs_per_second > 0:
                seconds = 1 / stage.epochs_per_second / (beside.get(row.worker) or 1)
                recent.setdefault(row.key, []).append((seconds, min(max(1, stage.epoch), WINDOW / seconds)))
        self._recent = {key: _mean(values) for key, values in recent.items()}
        self._earlier = {key: _mean(values[-HISTORY:]) for key, values in earlier.items()}
        both = self._recent.keys() & self._earlier.keys()
        drift = sum(self._recent[key] for key in both) / sum(self._earlier[key] for key in both) if both else 1.0
        self._drift = min(MOST_DRIFT, max(LEAST_DRIFT, drift))

    @property
    def any_measured(self) -> bool:
        """Whether any speed is measured."""
        return bool(self._recent or self._earlier)

    def of(self, key: Key) -> float | None:
        """Return the seconds per epoch of a key, else of another kind with its network and dataset; None if unknown."""
        if key in self._recent:
            return self._recent[key]
        if key in self._earlier:
            return self._earlier[key] * self._drift
        for known, drift in ((self._recent, 1.0), (self._earlier, self._drift)):
            alike = [seconds * drift for other, seconds in known.items() if other[:2] == key[:2]]
            if alike:
                return sum(alike) / len(alike)
        return None


def _mean(values: Iterable[tuple[float, float]]) -> float:
    """Return the mean of values with weights."""
    values = list(values)
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def _latest(rows: Sequence[Row]) -> float:
    """Return the time of the latest start or end, which needs no clock that may differ from that of the rows."""
    moments = (moment for row in rows if not row.reused for moment in (row.started_at, row.finished_at))
    return max((moment for moment in moments if not math.isnan(moment)), default=math.nan)


def usual_gap(rows: Sequence[Row]) -> float:
    """Return the usual seconds between two stages of one worker in the last half minute."""
    end = _latest(rows)
    by_worker: dict[str, list[Row]] = {}
    for row in rows:
        if row.worker and not row.reused and row.started_at >= end - WINDOW:
            by_worker.setdefault(row.worker, []).append(row)
    gaps = []
    for own in by_worker.values():
        own.sort(key=lambda row: row.started_at)
        gaps += [after.started_at - before.finished_at for before, after in pairwise(own)]
    # A missing time makes a gap NaN, which is no such short gap.
    gaps = [gap for gap in gaps if gap <= LONGEST_GAP]
    return max(0.0, median(gaps)) if gaps else 0.0


def concurrency(rows: Sequence[Row]) -> tuple[float, float]:
    """Return how many stages were trained at a time in the last half minute, and by how many workers at a time."""
    end = _latest(rows)
    by_worker: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.state in ("running", "done") and not row.reused and not math.isnan(row.started_at):
            ended = row.finished_at if row.state == "done" else end
            if ended > end - WINDOW:
                by_worker.setdefault(row.worker or "", []).append((max(row.started_at, end - WINDOW), ended))
    stages = workers = 0.0
    for spans in by_worker.values():
        covered = -math.inf
        for begin, ended in sorted(spans):
            stages += ended - begin
            workers += max(0.0, ended - max(begin, covered))
            covered = max(covered, ended)
    return stages / WINDOW, workers / WINDOW


def _shares(rows: Sequence[Row]) -> dict[str, float]:
    """Return for stages that are done the seconds of their worker's time, which stages in training share equally."""
    end = _latest(rows)
    by_worker: dict[str, list[Row]] = {}
    for row in rows:
        if row.state in ("running", "done") and row.worker and not row.reused and not math.isnan(row.started_at):
            by_worker.setdefault(row.worker, []).append(row)
    shares = {}
    for own in by_worker.values():
        spans = [(row, row.started_at, row.finished_at if row.state == "done" else end) for row in own]
        changes: Counter[float] = Counter()
        for _, begin, ended in spans:
            changes[begin] += 1
            changes[ended] -= 1
        # The time that one stage had by a moment, if it was in training all the time.
        had, count, total, before = {}, 0, 0.0, 0.0
        for moment in sorted(changes):
            total += (moment - before) / count if count else 0.0
            had[moment], before = total, moment
            count += changes[moment]
        for row, begin, ended in spans:
            if row.state == "done" and had[ended] > had[begin]:
                shares[row.fingerprint] = had[ended] - had[begin]
    return shares
