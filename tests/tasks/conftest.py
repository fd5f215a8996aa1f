"""A real Redis, for tests that start nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from data.settings import settings
from tasks.broker import serving


@pytest.fixture
def redis(home: Path) -> Iterator[Redis]:
    """A Redis of its own, empty."""
    del home
    with serving(settings()) as client:
        yield client
        client.close()
