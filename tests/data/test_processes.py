"""A process is known by its start, which no change of the clock moves."""

import os
import subprocess

import psutil
import pytest

from data import processes


def test_a_process_runs_until_it_ends_and_is_known_by_its_start(sleeper: "subprocess.Popen[bytes]") -> None:
    born = processes.born(sleeper.pid)
    assert born >= processes.born(os.getpid())
    assert processes.runs(sleeper.pid, born)
    assert processes.runs(sleeper.pid, None)
    assert not processes.runs(sleeper.pid, born - 3600.0)
    sleeper.kill()
    # The system lists an ended process until its parent waits for it.
    while psutil.pid_exists(sleeper.pid) and psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        continue
    assert not processes.runs(sleeper.pid, born)
    sleeper.wait()
    assert not processes.runs(sleeper.pid, born)
    assert processes.status(sleeper.pid, born) is None


@pytest.mark.parametrize("seconds", [-600.0, 600.0])
def test_a_jump_of_the_clock_does_not_change_who_a_process_is(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    born, boot_time = processes.born(sleeper.pid), psutil.boot_time()
    # The kernel moves the time of the boot by as much as the clock.
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time + seconds)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time + seconds)
    assert psutil.Process(sleeper.pid).create_time() == pytest.approx(boot_time + born + seconds, abs=0.1)
    assert processes.runs(sleeper.pid, born)
