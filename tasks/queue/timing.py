"""The times of leases, heartbeats and the reaper."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The times of leases, in seconds.

    lease: how long a lease lasts unless renewed. heartbeat: the time between renewals. reap: the time between searches
    for expired leases. stale: the age from which a queued stage is sent again if no messages wait.
    """

    lease: float = 20.0
    heartbeat: float = 5.0
    reap: float = 2.0
    stale: float = 5.0
