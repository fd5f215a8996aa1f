"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from redis import Redis

from data.settings import ALLOWED, settings
from tasks.broker.server import serving
from tests.machine import Machine

# Side by side, tests have a core each: threads beyond it would wait for each other, and take ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private TICKETSCOPE_HOME, for this process and the ones that it starts; nothing of the caller's shines in."""
    folder = tmp_path / "home"
    for variable in ALLOWED:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TICKETSCOPE_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    """A running Redis, and what starts the other parts beside it."""
    del home
    config = settings()
    with serving(config):
        started = Machine(config)
        yield started
        started.stop()


@pytest.fixture
def redis(home: Path) -> Iterator[Redis]:
    """A Redis of its own, empty."""
    del home
    with serving(settings()) as client:
        yield client
        client.close()
