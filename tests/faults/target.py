"""What a fault hits, what became of it, and waiting until work continues."""

import random
import time
from dataclasses import dataclass

import psutil

from tasks.queue import telemetry
from tests.faults.clocks import Clocks
from tests.faults.world import SmallDisk, World


@dataclass(frozen=True)
class Strike:
    """A fault that was injected: hit: its target; seconds: the time until work continued."""

    kind: str
    hit: str
    seconds: float


@dataclass(frozen=True)
class Target:
    """A running study; outage: seconds that Redis is out of reach; disk, home: of artifacts and home; clocks: all."""

    world: World
    study_id: str
    disk: SmallDisk
    home: SmallDisk
    draw: random.Random
    outage: float
    clocks: Clocks


def some_running(at: Target) -> tuple[str, int, int]:
    """Return the fingerprint, the attempt and the process of some running stage."""
    running: dict[str, tuple[int, str, int]] = {}

    def any_running() -> bool:
        running.update({key: lease for key, lease in at.world.running().items() if psutil.pid_exists(lease[2])})
        return bool(running)

    at.world.wait(any_running)
    fingerprint = at.draw.choice(sorted(running))
    attempt, _, pid = running[fingerprint]
    return fingerprint, attempt, pid


def resumed_after(at: Target, fingerprint: str, attempt: int, begin: float) -> float:
    """Wait until another worker continues a stage, and return the seconds since `begin`.

    The stage then trains or is done, or waits for weights that an earlier fault truncated and that are trained again.
    """

    def resumed() -> bool:
        current, state = at.world.attempt(fingerprint)
        if state in ("done", "waiting"):
            return True
        live = telemetry.progress([fingerprint], at.world.redis)
        return current > attempt and any(progress.updated > begin for progress in live.values())

    at.world.wait(resumed)
    return time.time() - begin
