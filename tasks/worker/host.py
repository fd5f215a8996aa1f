"""This host: its identity, the names of its worker processes, and its memory."""

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


@lru_cache(maxsize=1)
def boot() -> str:
    """Return the id of the machine's present boot, empty if the system has none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@lru_cache(maxsize=1)
def token() -> str:
    """Return the name of the system in which process ids are unique: the host's name and four hex digits.

    A container may have its host's name, and a clone that of the original machine. The digits, of a hash of boot and
    process namespace, distinguish them; they are missing if the system has no such ids.
    """
    name = socket.gethostname()
    try:
        place = f"{boot()} {PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return name
    return f"{name}-{hashlib.blake2b(place.encode(), digest_size=2).hexdigest()}" if boot() else name


def worker_name(pid: int) -> str:
    """Return the name of the worker process of a process id on this host."""
    return f"{token()}:{pid}"


def is_here(name: str) -> bool:
    """Return whether the worker of a name is or was a process of this host."""
    return name.rpartition(":")[0] == token()


def started(pid: int) -> datetime:
    """Return the time in UTC when a process was started; raises psutil.NoSuchProcess."""
    return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)


def memory(gpu: tuple[int, int] | None = None) -> Memory:
    """Return the memory of this process and this host; gpu: used and total bytes of the worker's GPU."""
    system = psutil.virtual_memory()
    used, total = gpu or (None, None)
    return Memory(psutil.Process(os.getpid()).memory_info().rss, system.total, system.available, used, total)
