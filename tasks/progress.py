"""Progress as plain lines, for logs, pipes and batch jobs, where no terminal draws bars."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from engine.formatting import number, percent
from engine.study.plan import Stage
from engine.study.results import StageResult
from tasks.units import clock, duration, plural

# Seconds between two lines: never fewer, and while trainings last never more.
LEAST, MOST = 1.0, 60.0
# Seconds between two looks at whether a line is due.
STEP = 0.2
# The most events that wait for a line of their own; of more, those of one kind share one.
BACKLOG = 10


class Lines:
    """Writes a line for each event, at most one a second and at least one a minute; many events share a line.

    write: writes one line and flushes it. state: returns what is done and what is left; each line ends with it, and a
    minute without an event has it alone; an empty text makes no such line. Both are called by one thread at a time.
    """

    def __init__(self, write: Callable[[str], None], state: Callable[[], str]) -> None:
        self._write = write
        self._state = state
        self._lock = threading.Lock()
        # The kinds and texts of events that are not written yet, the oldest first.
        self._waiting: list[tuple[str, str]] = []
        self._last_at = time.monotonic() - LEAST

    def add(self, kind: str, text: str) -> None:
        """Write a text soon; kind: what several of such events are, such as "trainings done", for a line about them."""
        with self._lock:
            self._waiting.append((kind, text))

    @property
    def waits(self) -> bool:
        """Whether an event is not written yet."""
        return bool(self._waiting)

    def step(self, now: float) -> None:
        """Write a line if one is due; now: by the monotonic clock."""
        since = now - self._last_at
        if since < LEAST or not (self._waiting or since >= MOST):
            return
        self._last_at = now
        self._write_next()

    def finish(self) -> None:
        """Write what waits."""
        while self._waiting:
            self._write_next()

    @contextmanager
    def running(self, look: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Call `step` again and again in a thread within the block, and `finish` at its end; look: called before."""
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(STEP):
                look()
                self.step(time.monotonic())

        thread = threading.Thread(target=run, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.finish()

    def _write_next(self) -> None:
        parts = []
        with self._lock:
            if len(self._waiting) > BACKLOG:
                first = self._waiting[0][0]
                texts = [text for kind, text in self._waiting if kind == first]
                self._waiting = [(kind, text) for kind, text in self._waiting if kind != first]
                parts.append(f"{len(texts):,} {first}, the last: {texts[-1]}" if len(texts) > 1 else texts[0])
            elif self._waiting:
                parts.append(self._waiting.pop(0)[1])
        parts.append(self._state())
        if line := "; ".join(filter(None, parts)):
            self._write(line)


def name(stage: Stage) -> str:
    """Return a training in words: network, dataset, learning rate, seed, start, sparsity and epochs."""
    run = f"{stage.network} on {stage.images.name}, lr {number(stage.learning_rate)}, seed {stage.seed}"
    what = "dense" if stage.kind == "pretrain" else "ADMM" if stage.start is None else stage.start
    if stage.kind != "pretrain":
        rounds = f", round {len(stage.rounds)}" if len(stage.rounds) > 1 else ""
        what += f" @ {percent(stage.sparsity)} ({stage.score or stage.kind}{rounds})"
    return f"{run}, {what}, {plural(stage.epochs, 'epoch')}"


def outcome(result: StageResult) -> str:
    """Return what a training reached, in words, and how long it took."""
    return reached(result.final.test_accuracy if result.epochs else None, result.diverged, result.seconds)


def reached(accuracy: float | None, diverged: int | None, seconds: float) -> str:
    """Return a test accuracy in percent, or the epoch after which a training diverged, and the seconds it took."""
    if diverged is not None:
        # 0 stands for a training that could not begin, since its parent diverged.
        return f"diverged after epoch {diverged}" if diverged else "not trained, since its parent diverged"
    return "" if accuracy is None else f"{accuracy:.2f} % in {duration(seconds)}"


def state(
    done: int, total: int, out: Mapping[str, int], running: int | None = None, seconds: float | None = None
) -> str:
    """Return how many trainings are done and left, and until when they take.

    out: by word, such as "failed", those that will not be trained. running: None if unknown. seconds: as in `left`.
    """
    parts = [f"{done:,} of {plural(total, 'training')} done", f"{total - done - sum(out.values()):,} left"]
    parts += [f"{count:,} {word}" for word, count in out.items() if count]
    parts += [] if running is None else [f"{running:,} in training"]
    return ", ".join(parts) + (f", {left(seconds)}" if seconds else "")


def left(seconds: float) -> str:
    """Return how long trainings still take and when they will be done."""
    return f"about {duration(seconds)} left, done {clock(seconds)}"
