"""Faults of clocks: each function sets one ahead or back, sets it right again, and waits until work continues."""

import time

from tests.faults.target import Strike, Target

JUMPS = (600, -600, 86_400, -86_400)
# Shorter than a lease of the separate worker, whose progress counts by its own clock.
SECONDS = 3.0


def set_clock_of_redis(at: Target) -> Strike:
    """Set the clock of Redis, whose time is that of all events."""
    return _jumped(at, "clock of Redis set", at.world.redis_pid())


def set_clock_of_recorder(at: Target) -> Strike:
    """Set the clock of the recorder, which looks for lost leases."""
    return _jumped(at, "clock of the recorder set", at.world.processes("tasks", "recorder")[0].pid)


def set_clock_of_worker(at: Target) -> Strike:
    """Set the clock of a worker, which renews its leases."""
    return _jumped(at, "clock of a worker set", at.draw.choice(at.world.processes("tasks.worker")).pid)


def _jumped(at: Target, kind: str, pid: int) -> Strike:
    seconds = at.draw.choice(JUMPS)
    before = {fingerprint: attempt for fingerprint, (attempt, _, _) in at.world.running().items()}
    at.clocks.set(pid, seconds)
    time.sleep(SECONDS)
    at.clocks.set(pid, 0)
    begin = time.time()
    at.world.wait(lambda: at.world.progressed(begin))
    lost = sum(at.world.attempt(fingerprint)[0] != attempt for fingerprint, attempt in before.items())
    return Strike(kind, f"by {seconds:+d} s, {lost} leases lost", time.time() - begin)
