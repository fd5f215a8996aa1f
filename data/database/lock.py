"""A fair lock between processes and threads, for one writer or many readers, in order of arrival."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held = threading.local()


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock at a path together with other readers; RuntimeError as for `_turnstile`."""
    with _turnstile(path, fcntl.LOCK_SH):
        yield


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock at a path alone; RuntimeError as for `_turnstile`."""
    with _turnstile(path, fcntl.LOCK_EX):
        yield


@contextmanager
def _turnstile(path: Path, mode: int) -> Iterator[None]:
    """Hold the lock within the block.

    Whoever comes first holds a gate while waiting for the lock, so that later readers queue behind a waiting writer;
    with the lock alone they would overtake it forever. The kernel releases both when the process dies. Raises
    RuntimeError if this thread holds the lock already, because it would wait for itself once a writer queues.
    """
    held: set[Path] = _held.__dict__.setdefault("paths", set())
    if path in held:
        raise RuntimeError(f"this thread already holds the lock {path}; leave the first block before a second")
    with _opened(path) as lock:
        with _opened(path.with_name(f"{path.name}.gate")) as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(lock, mode)
        held.add(path)
        try:
            yield
        finally:
            held.discard(path)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Every holder opens the file anew: flock belongs to the open file, so threads exclude each other too.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
