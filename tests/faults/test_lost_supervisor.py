"""After a supervisor died with its workers, the next start on the host continues their stages at once."""

import os
import signal
import subprocess

import pytest

from data import processes
from tasks.queue import leases, scripts, telemetry
from tests.machine import Machine, long_study, wait_for

pytestmark = pytest.mark.faults

# Seconds that the test never waits, so the leases must end for another reason.
LEASE = 600


def supervised(machine: Machine) -> "subprocess.Popen[bytes]":
    return machine.start(
        "-m", "tasks", "worker", "--processes", "1", "--device", "cpu", "--lease", str(LEASE), log="supervised"
    )


def test_the_next_start_ends_the_leases_of_dead_workers(machine: Machine) -> None:
    machine.recorder()
    machine.launch(long_study(epochs=10_000))
    supervisor = supervised(machine)
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    [lost] = telemetry.workers(machine.redis)
    assert lost.stage is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    wait_for(lambda: not processes.runs(lost.pid, lost.born))
    assert leases.states(machine.redis, [lost.stage]) == {lost.stage: "running"}
    assert attempt(machine, lost.stage) == "1"

    supervised(machine)
    wait_for(lambda: attempt(machine, lost.stage) == "2")
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    assert lost.name not in {worker.name for worker in telemetry.known_workers(machine.redis)}


def attempt(machine: Machine, fingerprint: str | None) -> str | None:
    return machine.redis.hget(f"{scripts.PREFIX}stage:{fingerprint}", "attempt")
