"""How long a study still takes: its remaining stages, simulated at the speed of the last half minute."""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import pandas as pd

from tasks.queue.telemetry import LiveProgress, Worker

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
# Returns seconds per epoch that were planned; called only where a speed is missing beside others that were measured.
Planned = Callable[[], Mapping[Key, float]]


def stage_seconds_left(stage: LiveProgress) -> float | None:
    """Return the seconds until a stage in training is done, at its present speed; None before it has one."""
    if stage.epochs_per_second <= 0:
        return None
    return (stage.epochs - stage.epoch) / stage.epochs_per_second


def seconds_left(
    stages: pd.DataFrame, live: Mapping[str, LiveProgress], places: int, planned: Planned = dict
) -> float | None:
    """Return the seconds until all stages of a study are done that can be; None before any speed is measured.

    stages: as from `data.queries.studies.stages`. live: the progress of running stages. places: as from `places`; at
    least the running ones count. planned: see `Planned`. The result is never below `stage_seconds_left` of a running
    stage. Stages that failed or were cancelled, and those that wait for them, are left out. Returns None also if
    nothing trains and places is 0.
    """
    rows = _rows(stages)
    unfinished = [row for row in rows if row.state in ("queued", "waiting", "running")]
    if not unfinished:
        return 0.0
    running = sum(row.state == "running" for row in rows)
    speeds = _Speeds(rows, live)
    if not max(places, running) or not speeds.any_measured:
        return None
    missing = {row.key for row in unfinished if speeds.of(row.key) is None}
    guesses = planned() if missing else {}
    if missing - guesses.keys():
        return None
    gap = _gap(rows)
    seconds = {row.fingerprint: _cost(row, live, speeds, guesses, gap) for row in unfinished}
    return _simulated(rows, _without_diverged(rows, seconds), max(places, running))


def places(workers: Iterable[Worker], stages: pd.DataFrame) -> int:
    """Return how many stages of a study are trained at a time; stages: as for `seconds_left`.

    A worker that trains stages side by side has a place for each. Where workers train other studies too, the places are
    those that this study had in the last half minute.
    """
    alive = [worker for worker in workers if not worker.is_silent() and not worker.draining]
    own = set(stages["fingerprint"])
    beside = [1 + len(own.intersection(worker.beside)) for worker in alive if worker.stage in own]
    idle = sum(worker.stage is None for worker in alive)
    present = sum(beside) + idle * max(beside, default=1)
    if len(beside) + idle == len(alive):
        return present
    # While other studies have all workers, they are the best guess of the number that this study gets later.
    return max(present, round(_busy(_rows(stages)))) or len(alive)


class _Row(NamedTuple):
    """The columns of a stage that decide how long it takes; times are seconds since 1970, and NaN where missing."""

    fingerprint: str
    kind: str
    dataset: str
    network: str
    parent: str | None
    state: str
    worker: str | None
    started_at: float
    finished_at: float
    seconds: float
    epochs: int
    epoch: int
    diverged: bool
    reused: bool

    @property
    def key(self) -> Key:
        return self.network, self.dataset, self.kind

    @property
    def wall(self) -> float | None:
        """The seconds from claim to result; None where they tell nothing about this study's speed."""
        if self.state != "done" or self.reused or self.diverged or not self.epochs:
            return None
        # A stage that was interrupted trained before its last start too, which `seconds` include; of stages trained
        # side by side, `seconds` are a share.
        known = [value for value in (self.finished_at - self.started_at, self.seconds) if value > 0]
        return max(known, default=None)


def _rows(stages: pd.DataFrame) -> list[_Row]:
    columns = {name: stages[name] for name in _Row._fields}
    for name in ("started_at", "finished_at"):
        columns[name] = (pd.to_datetime(columns[name], utc=True) - EPOCH).dt.total_seconds()
    columns["diverged"] = columns["diverged"].notna()
    return [_Row(*values) for values in zip(*(column.tolist() for column in columns.values()), strict=True)]


class _Speeds:
    """Seconds per epoch by key, as recent as they are known."""

    def __init__(self, rows: Sequence[_Row], live: Mapping[str, LiveProgress]) -> None:
        end = _latest(rows)
        recent: dict[Key, list[tuple[float, float]]] = {}
        earlier: dict[Key, list[tuple[float, float]]] = {}
        # A result without times, as of an older version, comes first.
        for row in sorted(rows, key=lambda row: 0.0 if math.isnan(row.finished_at) else row.finished_at):
            if (wall := row.wall) is None:
                continue
            seconds = wall / row.epochs
            if row.finished_at >= end - WINDOW:
                recent.setdefault(row.key, []).append((seconds, min(row.epochs, WINDOW / seconds)))
            else:
                earlier.setdefault(row.key, []).append((seconds, row.epochs))
        for row in rows:
            stage = live.get(row.fingerprint)
            if row.state == "running" and stage is not None and stage.epochs_per_second > 0:
                seconds = 1 / stage.epochs_per_second
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


def _latest(rows: Sequence[_Row]) -> float:
    """Return the time of the latest start or end, which needs no clock that may differ from that of the rows."""
    moments = (moment for row in rows if not row.reused for moment in (row.started_at, row.finished_at))
    return max((moment for moment in moments if not math.isnan(moment)), default=math.nan)


def _gap(rows: Sequence[_Row]) -> float:
    """Return the usual seconds between two stages of one worker in the last half minute."""
    end = _latest(rows)
    by_worker: dict[str, list[_Row]] = {}
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


def _busy(rows: Sequence[_Row]) -> float:
    """Return how many stages were trained at a time in the last half minute."""
    end, total = _latest(rows), 0.0
    for row in rows:
        if not row.reused and not math.isnan(row.started_at):
            ended = end if math.isnan(row.finished_at) else row.finished_at
            total += max(0.0, ended - max(row.started_at, end - WINDOW))
    return total / WINDOW


def _cost(
    row: _Row, live: Mapping[str, LiveProgress], speeds: _Speeds, guesses: Mapping[Key, float], gap: float
) -> float:
    """Return the seconds for which an unfinished stage still occupies its place."""
    stage = live.get(row.fingerprint) if row.state == "running" else None
    left = None if stage is None else stage_seconds_left(stage)
    if left is not None:
        return left
    measured = speeds.of(row.key)
    each = guesses[row.key] if measured is None else measured
    return max(0, row.epochs - row.epoch) * each + (0.0 if row.state == "running" else gap)


def _without_diverged(rows: Sequence[_Row], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of stages, with none for those that are made from a training that diverged."""
    lost: set[str] = set()
    # Parents come before their children.
    for row in rows:
        if row.diverged or row.parent in lost:
            lost.add(row.fingerprint)
    return {fingerprint: 0.0 if fingerprint in lost else value for fingerprint, value in seconds.items()}


def _simulated(rows: Sequence[_Row], seconds: Mapping[str, float], places: int) -> float:
    """Return when the last stage ends if each goes to the first free place, in the order in which they become ready.

    rows: parents before children. seconds: of each unfinished stage. A stage waits for its parent.
    """
    running = [seconds[row.fingerprint] for row in rows if row.state == "running"]
    free = [*running, *[0.0] * (places - len(running))]
    heapq.heapify(free)
    ends = {row.fingerprint: seconds[row.fingerprint] for row in rows if row.state == "running"}
    states = {row.fingerprint: row.state for row in rows}
    children: dict[str, list[tuple[int, str]]] = {}
    # Stages that were begun before come first in the queue.
    ready: list[tuple[float, bool, int, str]] = []
    for place, row in enumerate(rows):
        if row.state not in ("queued", "waiting"):
            continue
        parent = row.parent if isinstance(row.parent, str) else None
        if parent is None or states.get(parent, "done") == "done":
            ready.append((0.0, row.epoch == 0, place, row.fingerprint))
        elif parent in ends:
            ready.append((ends[parent], row.epoch == 0, place, row.fingerprint))
        else:
            children.setdefault(parent, []).append((place, row.fingerprint))
    heapq.heapify(ready)
    while ready:
        moment, _, _, fingerprint = heapq.heappop(ready)
        end = max(moment, heapq.heappop(free)) + seconds[fingerprint]
        heapq.heappush(free, end)
        ends[fingerprint] = end
        for place, child in children.get(fingerprint, ()):
            heapq.heappush(ready, (end, True, place, child))
    return max(ends.values(), default=0.0)
