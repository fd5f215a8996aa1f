"""A lock between processes and threads, for one writer or many readers, that says who holds it."""

import errno
import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import psutil

from data import processes
from data.private import FILE_MODE

# Seconds between two attempts to get the lock, from the first to the later ones.
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02

_held = threading.local()
# Each acquisition records it.
_born = lru_cache(maxsize=1)(processes.born)


@dataclass(frozen=True)
class Holder:
    """A process that holds the lock since a time; born: see `data.processes.born`, None if that was not recorded."""

    pid: int
    host: str
    command: str
    since: datetime
    born: float | None

    def __str__(self) -> str:
        since = f" since {self.since.astimezone():%H:%M:%S}"
        elsewhere = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"{self.command} (process {self.pid}{elsewhere}){since}{self.stopped()}"

    def lives(self) -> bool:
        """Return whether the process still runs, as far as this host knows."""
        return self.host != socket.gethostname() or processes.runs(self.pid, self.born)

    def stopped(self) -> str:
        """Return what to do about a process that is stopped, as by Ctrl-Z; an empty text for any other."""
        here = self.host == socket.gethostname()
        stopped = here and processes.status(self.pid, self.born) == psutil.STATUS_STOPPED
        return f", which is stopped: continue it (fg, or kill -CONT {self.pid}) or end it" if stopped else ""


class Busy(Exception):
    """Others hold the lock for longer than the caller waits."""

    def __init__(self, holders: list[Holder]) -> None:
        super().__init__(" and ".join(map(str, holders)) or "another program")
        self.holders = holders


@contextmanager
def shared(path: Path, patience: float = float("inf")) -> Iterator[None]:
    """Hold the lock at a path together with other readers; `_turnstile` says what is raised."""
    with _turnstile(path, fcntl.LOCK_SH, patience):
        yield


@contextmanager
def exclusive(path: Path, patience: float = float("inf")) -> Iterator[None]:
    """Hold the lock at a path alone; `_turnstile` says what is raised."""
    with _turnstile(path, fcntl.LOCK_EX, patience):
        yield


@contextmanager
def _turnstile(path: Path, mode: int, patience: float) -> Iterator[None]:
    """Hold the lock within the block.

    A writer holds a gate while it waits for the lock, so that later readers queue behind it; with the lock alone they
    would overtake it forever. The kernel releases both when the process dies. Raises Busy if the lock is not free
    within the seconds of `patience`, RuntimeError if this thread holds it already, because it would wait for itself
    once a writer queues, and OSError if the file of the lock cannot be opened.
    """
    held: set[Path] = _held.__dict__.setdefault("paths", set())
    if path in held:
        raise RuntimeError(f"this thread already holds the lock {path}; leave the first block before a second")
    deadline = time.monotonic() + patience
    with _opened(path) as lock:
        with _opened(path.with_name(f"{path.name}.gate")) as gate:
            if not (_acquired(gate, fcntl.LOCK_EX, deadline) and _acquired(lock, mode, deadline)):
                raise Busy(holders(path))
        held.add(path)
        record = _record(path)
        try:
            yield
        finally:
            held.discard(path)
            if record is not None:
                record.unlink(missing_ok=True)


def _acquired(descriptor: int, mode: int, deadline: float) -> bool:
    """Wait for a file's lock until a time, and return whether this process got it."""
    pause = FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        else:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def holders(path: Path) -> list[Holder]:
    """Return who holds the lock at a path, as far as they could record it."""
    found = [_read(file) for file in sorted(_records(path).glob("*"))]
    # What a killed process recorded stays until another one of its number holds the lock.
    return [holder for holder in found if holder is not None and holder.lives()]


def _records(path: Path) -> Path:
    return path.with_name(f"{path.name}.holders")


def _record(path: Path) -> Path | None:
    """Record that this thread holds the lock; None if that is impossible, as on a full disk."""
    record = _records(path) / f"{os.getpid()}-{threading.get_ident()}"
    lines = (socket.gethostname(), datetime.now(UTC).isoformat(), _command(), str(_born(os.getpid())))
    try:
        content = "\n".join(lines).encode(errors="backslashreplace")
        try:
            record.write_bytes(content)
        except FileNotFoundError:
            record.parent.mkdir(exist_ok=True)
            record.write_bytes(content)
    except OSError:
        return None
    return record


def _command() -> str:
    program, *arguments = sys.argv or ["python"]
    path = Path(program)
    # A package that is run as a program has its folder's name.
    name = path.parent.name if path.name == "__main__.py" else path.name
    if name == "streamlit":
        return "the dashboard"
    return " ".join(["ticketscope" if name == "tasks" else name, *arguments[:1]])


def _read(record: Path) -> Holder | None:
    try:
        host, since, command, *rest = record.read_text(encoding="utf-8").split("\n")
        born = float(rest[0]) if rest else None
        return Holder(int(record.name.split("-")[0]), host, command, datetime.fromisoformat(since), born)
    except (OSError, ValueError):
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Every holder opens the file anew: flock belongs to the open file, so threads exclude each other too.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
