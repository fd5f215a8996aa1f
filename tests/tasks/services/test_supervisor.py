"""Services that die are started again, and none outlives its supervisor."""

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.process import ROOT, python, spawn
from tests.machine import alive, wait_for

Start = Callable[..., "subprocess.Popen[bytes]"]

# Each service appends its process id to a file; the supervisor needs the main thread of a process of its own.
SCRIPT = """
import logging, sys
from pathlib import Path
from tasks.process import python
from tasks.services.supervisor import Service, Supervisor

folder = Path(sys.argv[1])
note = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\\\n'); "
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "

def service(name, code, grace=2.0):
    return Service(name, python("-c", note + code, str(folder / name)), grace=grace, died=died)

def died(pid):
    (folder / "died").open("a").write(f"{pid}\\n")

logging.basicConfig()
sleep = "time.sleep(60)"
groups = [[service("steady", sleep), service("deaf", deaf + sleep, 0.5)], [service("last", sleep)]]
if "brittle" in sys.argv:
    groups.append([service("brittle", "sys.exit(3)")])
Supervisor(groups).run()
"""


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = spawn(python("-c", textwrap.dedent(SCRIPT), str(tmp_path), *arguments), tmp_path / "log")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def pids(folder: Path, name: str) -> list[int]:
    file = folder / name
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def started(folder: Path) -> list[int]:
    return [wait_for(lambda n=name: pids(folder, n))[0] for name in ("steady", "deaf", "last")]


def test_a_dead_service_is_started_again(supervise: Start, tmp_path: Path) -> None:
    supervise()
    steady, _, _ = started(tmp_path)
    os.kill(steady, signal.SIGKILL)
    wait_for(lambda: len(pids(tmp_path, "steady")) == 2)
    assert pids(tmp_path, "died") == [steady]


def test_a_service_that_dies_at_once_is_restarted_ever_more_slowly(supervise: Start, tmp_path: Path) -> None:
    supervise("brittle")
    wait_for(lambda: len(pids(tmp_path, "brittle")) >= 3)
    time.sleep(1.0)
    assert len(pids(tmp_path, "brittle")) <= 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_services_and_kills_those_that_ignore_it(
    supervise: Start, tmp_path: Path, number: int
) -> None:
    process = supervise()
    children = started(tmp_path)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=90.0) == 0
    assert time.monotonic() - began < 3.0
    assert not any(alive(pid) for pid in children)
    assert "deaf" in (tmp_path / "log").read_text()


@pytest.mark.faults
def test_services_do_not_outlive_a_killed_supervisor(supervise: Start, tmp_path: Path) -> None:
    process = supervise()
    children = started(tmp_path)
    process.kill()
    wait_for(lambda: not any(alive(pid) for pid in children))


def test_services_run_in_the_folder_of_the_repository(tmp_path: Path) -> None:
    process = spawn(python("-c", "import os; print(os.getcwd())"), tmp_path / "out")
    process.wait()
    assert (tmp_path / "out").read_text().strip() == str(ROOT)
