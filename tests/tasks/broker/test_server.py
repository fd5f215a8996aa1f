"""The Redis server of a home."""

import os
import signal
import stat
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from data.settings import settings
from tasks.broker import connection, server
from tasks.queue import telemetry
from tests.machine import alive


def process_of(redis: Redis) -> int:
    return int(redis.info("server")["process_id"])


def test_redis_runs_while_a_process_uses_it(home: Path) -> None:
    config = settings()
    with server.serving(config) as first:
        with server.serving(config) as second:
            pid = process_of(second)
            assert process_of(first) == pid
        assert first.ping()
        assert alive(pid)
    assert not alive(pid)


def test_only_this_user_can_connect(redis: Redis, home: Path) -> None:
    for name in ("password", "redis.conf"):
        assert stat.S_IMODE((home / "redis" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
    stranger = Redis(unix_socket_path=str(connection.socket_path(home)), password="guess", retry=Retry(NoBackoff(), 0))
    with pytest.raises(AuthenticationError):
        stranger.ping()
    stranger.close()


def test_data_persists_until_the_next_start(home: Path) -> None:
    config = settings()
    with server.serving(config) as redis:
        redis.set("key", "value")
    with server.serving(config) as redis:
        assert redis.get("key") == "value"


@pytest.mark.faults
def test_every_event_survives_a_killed_redis(redis: Redis) -> None:
    for number in range(500):
        telemetry.publish(redis, [("cancelled", {"study_id": str(number), "at": "2026-01-01T00:00:00+00:00"})])
    pid = process_of(redis)
    os.kill(pid, signal.SIGKILL)
    server.ensure(settings())
    assert process_of(redis) != pid
    assert redis.xlen(telemetry.EVENTS) == 500


def test_a_hanging_redis_is_not_joined_by_a_second_one(redis: Redis) -> None:
    pid = process_of(redis)
    os.kill(pid, signal.SIGSTOP)
    try:
        server.ensure(settings())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert process_of(redis) == pid
