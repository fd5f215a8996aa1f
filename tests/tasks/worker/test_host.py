"""What this host is: the names of its workers, and which of its processes run."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tasks.worker import host


def told_elsewhere(*prefix: str) -> str:
    """Return the name of process 7 as another process tells it."""
    command = [*prefix, sys.executable, "-c", "from tasks.worker import host; print(host.worker_name(7))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_all_processes_of_a_host_derive_the_same_names() -> None:
    name = host.worker_name(7)
    assert name.startswith(socket.gethostname())
    assert name.split(":")[-1] == "7"
    assert told_elsewhere() == name
    assert host.is_here(name)
    assert not host.is_here(f"{socket.gethostname()}-zzzz:7")


def test_containers_with_one_host_name_have_different_names() -> None:
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make process namespaces")
    name = told_elsewhere(*unshare)
    assert name.startswith(f"{socket.gethostname()}-")
    assert name != host.worker_name(7)


def test_a_system_that_tells_nothing_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PID_NAMESPACE", host.BOOT_ID / "nothing")
    host.token.cache_clear()
    assert host.worker_name(7) == f"{socket.gethostname()}:7"
    host.token.cache_clear()


def test_a_process_runs_until_it_ends_and_another_with_its_id_is_not_it() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    began = host.started(sleeper.pid)
    assert abs((datetime.now(UTC) - began).total_seconds()) < 10
    assert host.runs(sleeper.pid, began)
    assert host.runs(sleeper.pid, None)
    # One that began an hour ago would have had this id before.
    assert not host.runs(sleeper.pid, began - timedelta(hours=1))
    sleeper.kill()
    # Until it is waited for, the system lists it.
    while psutil.pid_exists(sleeper.pid) and psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        continue
    assert not host.runs(sleeper.pid, began)
    sleeper.wait()
    assert not host.runs(sleeper.pid, began)


def test_memory_is_that_of_this_process_and_this_host() -> None:
    found = host.memory((3, 5))
    assert found.resident == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.2)
    assert found.resident < found.total
    assert 0 < found.available < found.total
    assert (found.gpu_used, found.gpu_total) == (3, 5)
    assert host.memory().gpu_used is None
