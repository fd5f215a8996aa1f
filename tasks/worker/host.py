"""This host: how its worker processes are named, which of them still run, and how much memory there is."""

import hashlib
import os
import socket
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import psutil

from tasks.queue.telemetry import Memory

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")

# What two readings of one process's start may differ by, since the kernel's time of booting is rounded.
START_TOLERANCE = 2.0


@lru_cache(maxsize=1)
def boot() -> str:
    """Return what this start of the machine is known by, empty where the system does not tell."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@lru_cache(maxsize=1)
def token() -> str:
    """Return what is the same for all processes that share process ids with this one: its host's name and a mark.

    Containers may have the name of their host, and clones of a machine that of the first; the mark, four digits of a
    hash of boot and process namespace, tells them apart. Where the system names neither, the name alone.
    """
    name = socket.gethostname()
    try:
        told = f"{boot()} {PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return name
    return f"{name}-{hashlib.blake2b(told.encode(), digest_size=2).hexdigest()}" if boot() else name


def worker_name(pid: int) -> str:
    """Return the name of the worker process with that id on this host."""
    return f"{token()}:{pid}"


def is_here(name: str) -> bool:
    """Return whether a worker of that name is, or was, a process of this host."""
    return name.rpartition(":")[0] == token()


def started(pid: int) -> datetime:
    """Return when a process was started, in UTC; psutil.NoSuchProcess where there is none."""
    return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)


def runs(pid: int, since: datetime | None) -> bool:
    """Return whether the process that was started then runs; since: None for not known."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Ids are given out again, to processes that begin later.
        return since is None or process.create_time() <= since.timestamp() + START_TOLERANCE
    except psutil.NoSuchProcess:
        return False


def memory(gpu: tuple[int, int] | None = None) -> Memory:
    """Return the memory of this process and this host; gpu: used and total bytes of the worker's."""
    whole = psutil.virtual_memory()
    used, total = gpu or (None, None)
    return Memory(psutil.Process(os.getpid()).memory_info().rss, whole.total, whole.available, used, total)
