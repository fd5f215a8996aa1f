"""The Redis that is started here."""

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


def test_it_runs_while_anyone_uses_it_and_no_longer(home: Path) -> None:
    config = settings()
    with server.serving(config) as first:
        with server.serving(config) as second:
            pid = process_of(second)
            assert process_of(first) == pid
        assert first.ping()
        assert alive(pid)
    assert not alive(pid)


def test_only_this_user_gets_in(redis: Redis, home: Path) -> None:
    for name in ("password", "redis.conf"):
        assert stat.S_IMODE((home / "redis" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
    stranger = Redis(unix_socket_path=str(connection.socket_path(home)), password="guess", retry=Retry(NoBackoff(), 0))
    with pytest.raises(AuthenticationError):
        stranger.ping()
    stranger.close()


def test_what_it_held_is_there_the_next_time(home: Path) -> None:
    config = settings()
    with server.serving(config) as redis:
        redis.set("kept", "yes")
    with server.serving(config) as redis:
        assert redis.get("kept") == "yes"


@pytest.mark.faults
def test_killed_and_started_again_it_has_every_event(redis: Redis) -> None:
    for number in range(500):
        telemetry.publish(redis, [("cancelled", {"study_id": str(number), "at": "2026-01-01T00:00:00+00:00"})])
    pid = process_of(redis)
    os.kill(pid, signal.SIGKILL)
    server.ensure(settings())
    assert process_of(redis) != pid
    assert redis.xlen(telemetry.EVENTS) == 500


def test_one_that_hangs_is_waited_for_and_gets_no_second_beside_it(redis: Redis) -> None:
    pid = process_of(redis)
    os.kill(pid, signal.SIGSTOP)
    try:
        server.ensure(settings())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert process_of(redis) == pid
