"""A Redis of its own for a benchmark."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis.exceptions import RedisError

from data.settings import Settings, settings
from tasks.broker import connection
from tasks.broker.binary import newest
from tasks.process import spawn
from tests.machine import free_port, wait_for


@contextmanager
def own_redis(home: Path) -> Iterator[Settings]:
    """Run a real Redis over TCP with a password for the block, and yield settings that name it."""
    port, password = free_port(), secrets.token_hex(16)
    folder = home / "redis"
    folder.mkdir(parents=True)
    options = ["--bind", "127.0.0.1", "--port", str(port), "--requirepass", password, "--dir", str(folder)]
    process = spawn([str(newest().binary), *options, "--appendonly", "yes", "--save", ""], folder / "log")
    os.environ.update(
        TICKETSCOPE_HOME=str(home), REDIS_URL=f"redis://:{password}@127.0.0.1:{port}/0", OMP_NUM_THREADS="1"
    )
    settings.cache_clear()
    connection._connected.cache_clear()
    try:
        wait_for(lambda: _answers(settings()))
        yield settings()
    finally:
        process.terminate()
        process.wait()


def _answers(config: Settings) -> bool:
    try:
        return bool(connection.client(config, 0).ping())
    except RedisError:
        return False
