"""How long a study still takes: its remaining stages, simulated at the speed of the last half minute."""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from tasks.queue.telemetry import LiveProgress, Worker
from tasks.studies.recent_speed import Key, Row, Speeds, concurrency, rows_of, usual_gap

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
    # The database may be a second behind Redis.
    rows = [
        row._replace(state="running") if row.fingerprint in live and row.state in ("queued", "waiting") else row
        for row in rows_of(stages)
    ]
    unfinished = [row for row in rows if row.state in ("queued", "waiting", "running")]
    if not unfinished:
        return 0.0
    beside = Counter(row.worker for row in rows if row.state == "running") if places.shared else Counter[str | None]()
    count = places.number or (len(beside) if None not in beside else beside.total())
    speeds = Speeds(rows, live, places.shared, beside)
    if not count or not speeds.any_measured:
        return None
    missing = {row.key for row in unfinished if speeds.of(row.key) is None}
    guesses = planned() if missing else {}
    if missing - guesses.keys():
        return None
    gap = usual_gap(rows)
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
    rows = rows_of(stages)
    known = {row.fingerprint for row in rows}
    own = [1 + len(known.intersection(worker.beside)) for worker in alive if worker.stage in known]
    idle = sum(worker.stage is None for worker in alive)
    shared = not any(worker.device.startswith("cuda") for worker in alive)
    concurrent, busy = concurrency(rows)
    side_by_side = 1.0 if shared else concurrent / busy if busy else max(own, default=1)
    present = (len(own) + idle) * side_by_side
    if len(own) + idle == len(alive):
        return Places(round(present, 2), shared)
    # While other studies have all workers, these are the best guess of the number that this study gets later.
    return Places(round(max(present, busy * side_by_side), 2) or len(alive), shared)


def _from_diverged(rows: Sequence[Row]) -> set[str]:
    """Return the fingerprints of stages that diverged, and of all that are made from them, which take no time."""
    lost: set[str] = set()
    # Parents come before their children.
    for row in rows:
        if row.diverged or row.parent in lost:
            lost.add(row.fingerprint)
    return lost


def _simulated(
    rows: Sequence[Row], seconds: Mapping[str, float], running: Sequence[tuple[Row, float, float]], places: float
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
