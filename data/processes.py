"""Telling a process from a later one of the same id, however clocks are set meanwhile."""

import sys

import psutil

# Seconds by which two readings of a process's start may differ.
TOLERANCE = 0.5


def born(pid: int) -> float:
    """Return when a process was started, in seconds since the boot on Linux, else since 1970; raises psutil.Error."""
    started: float = psutil.Process(pid).create_time()
    # Linux moves the time of its boot with its clock.
    return started - psutil.boot_time() if sys.platform == "linux" else started


def status(pid: int, since: float | None) -> str | None:
    """Return psutil's status of the process that was born at `since`, None if it has ended; since: None if unknown."""
    try:
        same = since is None or abs(born(pid) - since) < TOLERANCE
        return psutil.Process(pid).status() if same else None
    except psutil.Error:
        return None


def runs(pid: int, since: float | None) -> bool:
    """Return whether the process that was born at `since` still runs; since: None if unknown."""
    return status(pid, since) not in (None, psutil.STATUS_ZOMBIE)
