"""The names of a host's workers, its memory, and whether its processes run."""

import os
import socket
import subprocess
import sys

import psutil
import pytest

from tasks.worker import host


def name_in_another_process(*prefix: str) -> str:
    """Return the name of process 7 as another process derives it."""
    command = [*prefix, sys.executable, "-c", "from tasks.worker import host; print(host.worker_name(7))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_all_processes_of_a_host_derive_the_same_names() -> None:
    name = host.worker_name(7)
    assert name.startswith(socket.gethostname())
    assert name.split(":")[-1] == "7"
    assert name_in_another_process() == name
    assert host.is_here(name)
    assert not host.is_here(f"{socket.gethostname()}-zzzz:7")


def test_containers_with_one_host_name_have_different_names() -> None:
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make process namespaces")
    name = name_in_another_process(*unshare)
    assert name.startswith(f"{socket.gethostname()}-")
    assert name != host.worker_name(7)


def test_without_a_token_the_host_name_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PID_NAMESPACE", host.BOOT_ID / "nothing")
    host.token.cache_clear()
    assert host.worker_name(7) == f"{socket.gethostname()}:7"
    host.token.cache_clear()


def test_memory_is_measured_for_this_process_and_this_host() -> None:
    memory = host.memory((3, 5))
    assert memory.resident == pytest.approx(psutil.Process(os.getpid()).memory_info().rss, rel=0.2)
    assert memory.resident < memory.total
    assert 0 < memory.available < memory.total
    assert (memory.gpu_used, memory.gpu_total) == (3, 5)
    assert host.memory().gpu_used is None
