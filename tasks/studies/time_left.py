"""How long a study still takes: its remaining stages, simulated at the speed of the last half minute."""

import heapq
import math
from collections import Counter
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


class Places(NamedTuple):
    """Where a study's stages are trained.

    number: how many are trained at a time. shared: whether stages that a worker trains side by side share its time, as
    on a CPU, so that it is the number of workers; on a GPU each takes as long as if it were alone.
    """

    number: float
    shared: bool = True


def seconds_left(
    stages: pd.DataFrame, live: Mapping[str, LiveProgress], places: Places, planned: Planned = dict
) -> float | None:
    """Return the seconds until all stages of a study are done that can be; None before any speed is measured.

    stages: as from `data.queries.studies.stages`. live: the progress of running stages. places: as from `places`; a
    number of 0 stands for those that train now. planned: see `Planned`. The result is never below `stage_seconds_left`
    of a running stage. Stages that failed or were cancelled, and those that wait for them, are left out. Returns None
    also if nothing trains and the number of places is 0.
    """
    rows = _rows(stages)
    unfinished = [row for row in rows if row.state in ("queued", "waiting", "running")]
    if not unfinished:
        return 0.0
    beside = Counter(row.worker for row in rows if row.state == "running") if places.shared else Counter[str | None]()
    count = places.number or (len(beside) if None not in beside else beside.total())
    speeds = _Speeds(rows, live, places.shared, beside)
    if not count or not speeds.any_measured:
        return None
    missing = {row.key for row in unfinished if speeds.of(row.key) is None}
    guesses = planned() if missing else {}
    if missing - guesses.keys():
        return None
    gap = _gap(rows)
    lost = _from_diverged(rows)
    queued, running = {}, []
    for row in unfinished:
        measured = speeds.of(row.key)
        work = max(0, row.epochs - row.epoch) * (guesses[row.key] if measured is None else measured)
        if row.state != "running":
            queued[row.fingerprint] = 0.0 if row.fingerprint in lost else work + gap
            continue
        stage, together = live.get(row.fingerprint), beside[row.worker] or 1
        left = None if stage is None else stage_seconds_left(stage)
        running.append((row, work * together, work) if left is None else (row, left, left / together))
    return _simulated(rows, queued, running, count)


def places(workers: Iterable[Worker], stages: pd.DataFrame) -> Places:
    """Return where a study's stages are trained; stages: as for `seconds_left`.

    On a CPU the number is that of the workers that train this study or are idle; on a GPU it is multiplied by the mean
    number of stages that a worker trained side by side in the last half minute. Where workers train other studies too,
    it is the mean of the last half minute, or more if more workers train this study now.
    """
    alive = [worker for worker in workers if not worker.is_silent() and not worker.draining]
    rows = _rows(stages)
    known = {row.fingerprint for row in rows}
    own = [1 + len(known.intersection(worker.beside)) for worker in alive if worker.stage in known]
    idle = sum(worker.stage is None for worker in alive)
    shared = not any(worker.device.startswith("cuda") for worker in alive)
    concurrent, busy = _busy(rows)
    side_by_side = 1.0 if shared else concurrent / busy if busy else max(own, default=1)
    present = (len(own) + idle) * side_by_side
    if len(own) + idle == len(alive):
        return Places(round(present, 2), shared)
    # While other studies have all workers, these are the best guess of the number that this study gets later.
    return Places(round(max(present, busy * side_by_side), 2) or len(alive), shared)


class _Row(NamedTuple):
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
        return self.network, self.dataset, self.kind

    @property
    def wall(self) -> float | None:
        """The seconds from claim to result; None where they tell nothing about this study's speed."""
        if self.state != "done" or self.reused or self.diverged or not self.epochs:
            return None
        # Of stages trained side by side, `seconds` are a share.
        known = [value for value in (self.finished_at - self.started_at, self.seconds) if value > 0]
        return max(known, default=None)


def _rows(stages: pd.DataFrame) -> list[_Row]:
    columns = {name: stages[name] for name in _Row._fields}
    for name in ("started_at", "finished_at"):
        columns[name] = (pd.to_datetime(columns[name], utc=True) - EPOCH).dt.total_seconds()
    columns["diverged"] = columns["diverged"].notna()
    return [_Row(*values) for values in zip(*(column.tolist() for column in columns.values()), strict=True)]


class _Speeds:
    """Seconds per epoch by key, as recent as they are known: of a worker's time if stages share it, else of a stage.

    beside: how many stages each worker trains now.
    """

    def __init__(
        self, rows: Sequence[_Row], live: Mapping[str, LiveProgress], shared: bool, beside: Mapping[str | None, int]
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


def _busy(rows: Sequence[_Row]) -> tuple[float, float]:
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


def _shares(rows: Sequence[_Row]) -> dict[str, float]:
    """Return for stages that are done the seconds of their worker's time, which stages in training share equally."""
    end = _latest(rows)
    by_worker: dict[str, list[_Row]] = {}
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


def _from_diverged(rows: Sequence[_Row]) -> set[str]:
    """Return the fingerprints of stages that diverged, and of all that are made from them, which take no time."""
    lost: set[str] = set()
    # Parents come before their children.
    for row in rows:
        if row.diverged or row.parent in lost:
            lost.add(row.fingerprint)
    return lost


def _simulated(
    rows: Sequence[_Row], seconds: Mapping[str, float], running: Sequence[tuple[_Row, float, float]], places: float
) -> float:
    """Return when the last stage ends if each goes to the first free place, in the order in which they become ready.

    rows: parents before children. seconds: of each stage that is not in training. running: stages in training, when
    each ends, and the seconds for which it occupies its place. places: a fraction of a place makes all slower, as if
    they shared it. A stage waits for its parent.
    """
    ends = {row.fingerprint: end for row, end, _ in running}
    count = math.ceil(places)
    slower = count / places
    free = [0.0] * count
    # More stages may be in training than there are places.
    for _, _, occupied in sorted(running, key=lambda item: -item[2]):
        heapq.heappush(free, heapq.heappop(free) + occupied)
    states = {row.fingerprint: row.state for row in rows}
    children: dict[str, list[tuple[int, str]]] = {}
    # Stages that were begun before come first in the queue.
    ready: list[tuple[float, bool, int, str]] = []
    for place, row in enumerate(rows):
        if row.state not in ("queued", "waiting"):
            continue
        if not row.parent or states.get(row.parent, "done") == "done":
            ready.append((0.0, row.epoch == 0, place, row.fingerprint))
        elif row.parent in ends:
            ready.append((ends[row.parent], row.epoch == 0, place, row.fingerprint))
        else:
            children.setdefault(row.parent, []).append((place, row.fingerprint))
    heapq.heapify(ready)
    last = max([*ends.values(), *free], default=0.0)
    while ready:
        moment, _, _, fingerprint = heapq.heappop(ready)
        end = max(moment, heapq.heappop(free)) + slower * seconds[fingerprint]
        heapq.heappush(free, end)
        last = max(last, end)
        for place, child in children.get(fingerprint, ()):
            heapq.heappush(ready, (end, True, place, child))
    return last
