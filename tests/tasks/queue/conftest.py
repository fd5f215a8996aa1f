"""The queue's scripts are tested on the installed Valkey and on the redis-server of the system."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from data.settings import settings
from tasks.broker import binary
from tasks.broker.server import serving


@pytest.fixture(params=["valkey", "redis"])
def redis(home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """An empty Redis: the Valkey that is installed with Ticketscope, or what the system has, such as Debian's."""
    del home
    if request.param == "redis":
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server on this machine; apt install redis-server")
        monkeypatch.setattr(binary, "_installed", list)
    with serving(settings()) as client:
        assert ("valkey_version" in client.info("server")) == (request.param == "valkey")
        yield client
        client.close()
