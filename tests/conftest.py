"""Fixtures for all tests, and the order in which they run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from redis import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from data.settings import ALLOWED, settings
from tasks.broker.server import serving
from tasks.services import presence
from tests.machine import Machine

# Tests in parallel use one thread each: more threads would wait for each other and take ten times as long. The variable
# is for processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

# Processes that tests start read no settings file of this machine.
os.environ["TICKETSCOPE_CONFIG"] = os.devnull

# A busy machine may take any time for an example.
hypothesis.settings.register_profile("any time", deadline=None)
hypothesis.settings.load_profile("any time")

# Folders whose tests take longest, since they start processes and wait for them.
SLOW = ("browser", "faults", "tasks", "benchmarks")
# One process runs all of these: the tests of the browser share it and a dashboard, and the browser gives up requests
# when the addresses of this machine change, as the test with several hosts makes them do.
SHARED = ("tests/browser/", "tests/faults/test_two_hosts.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest tests first, so that no process runs one alone at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


class Scheduling(LoadFileScheduling):
    """Keeps the tests of each file in one process, and those of `SHARED` in one."""

    def _split_scope(self, nodeid: str) -> str:
        return SHARED[0] if nodeid.startswith(SHARED) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes of `-n auto`: one more than cores, since tests wait much of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Return the scheduler of tests for --dist loadfile, None for xdist's own."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private TICKETSCOPE_HOME for this process and its children, without any other settings of the caller."""
    folder = tmp_path / "home"
    for variable in ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TICKETSCOPE_CONFIG", os.devnull)
    monkeypatch.setenv("TICKETSCOPE_HOME", str(folder))
    # Tests beside this one run services of other homes.
    monkeypatch.setenv(presence.RUNTIME, str(tmp_path))
    settings.cache_clear()
    yield folder
    # What a test set by itself, as the run of a whole chaos does, ends with it.
    for variable in ALLOWED:
        os.environ.pop(variable, None)
    settings.cache_clear()


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    """A machine with a running Redis, on which a test starts the other processes."""
    del home
    config = settings()
    with serving(config):
        machine = Machine(config)
        yield machine
        machine.stop()


@pytest.fixture
def redis(home: Path) -> Iterator[Redis]:
    """An empty Redis."""
    del home
    with serving(settings()) as client:
        yield client
        client.close()


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does nothing."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Restore the main module, which pages replace, and which processes that are spawned run again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
