"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from redis import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from data.settings import ALLOWED, settings
from tasks.broker.server import serving
from tests.machine import Machine

# Tests that run in parallel have at most a core each: more threads would wait for each other, and take ten times as
# long. The variable is for the processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

# Folders whose tests start processes and wait for them: they take longest.
SLOW = ("browser", "faults", "tasks", "benchmarks")
# All its files share a browser and a dashboard with everything behind it, so one process runs them all.
SHARED = "tests/browser/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take longest first, so that none is left for one process at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


class Scheduling(LoadFileScheduling):
    """Keeps the tests of a file in one process, and so those of the browser."""

    def _split_scope(self, nodeid: str) -> str:
        return SHARED if nodeid.startswith(SHARED) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` starts: one more than cores, since tests wait much of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Return how tests are handed to processes under --dist loadfile."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private TICKETSCOPE_HOME, for this process and its children, without any other setting of the caller's."""
    folder = tmp_path / "home"
    for variable in ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TICKETSCOPE_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    """A running Redis, and a machine that starts the other parts beside it."""
    del home
    config = settings()
    with serving(config):
        started = Machine(config)
        yield started
        started.stop()


@pytest.fixture
def redis(home: Path) -> Iterator[Redis]:
    """An empty Redis of its own."""
    del home
    with serving(settings()) as client:
        yield client
        client.close()
