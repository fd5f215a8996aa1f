"""The Redis that is started here, and the one that is given."""

import os
import signal
import stat
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from data.settings import read_settings, settings
from tasks.broker import connection
from tasks.queue import telemetry
from tests.machine import alive, free_port


def server(redis: Redis) -> int:
    return int(redis.info("server")["process_id"])


def test_it_runs_while_anyone_uses_it_and_no_longer(home: Path) -> None:
    config = settings()
    with connection.serving(config) as first:
        with connection.serving(config) as second:
            pid = server(second)
            assert server(first) == pid
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
    with connection.serving(config) as redis:
        redis.set("kept", "yes")
    with connection.serving(config) as redis:
        assert redis.get("kept") == "yes"


def test_a_home_with_a_long_path_gets_a_short_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_HOME", str(tmp_path / ("deep" * 30)))
    config = read_settings()
    with connection.serving(config) as redis:
        path = connection.socket_path(config.home)
        assert redis.ping()
        assert len(os.fsencode(path)) <= connection.SOCKET_PATH_LIMIT
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_a_folder_that_others_can_enter_is_not_used_for_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ("deep" * 30)
    folder = connection.socket_path(home).parent
    folder.chmod(0o755)
    with pytest.raises(connection.BrokerError, match="not private"):
        connection.socket_path(home)
    folder.rmdir()


def test_a_given_redis_that_does_not_answer_is_named_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
    config = read_settings()
    with pytest.raises(connection.BrokerError, match="does not answer") as error, connection.serving(config):
        pass
    assert f"redis://:***@127.0.0.1:{port}/0" in str(error.value)
    assert "secret" not in str(error.value)


def test_without_redis_the_live_view_says_what_to_start(home: Path) -> None:
    with pytest.raises(connection.BrokerError, match="python -m tasks up"):
        telemetry.workers(connection.connect(patience=0))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("redis://:p%40w@host", "redis://:p%40w@host/0"),
        ("redis://host?db=4&socket_timeout=9", "redis://host/4"),
        ("rediss://:pw@host:6380/1", "rediss://:pw@host:6380/1?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_ca_certs=/a.pem", "rediss://host/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fa.pem"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
        ("unix://:pw@/run/redis.sock?db=3", "redis+socket://:pw@/run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_celery_reaches_the_same_redis(monkeypatch: pytest.MonkeyPatch, given: str, meant: str) -> None:
    monkeypatch.setenv("REDIS_URL", given)
    assert connection.celery_url(read_settings()) == meant


@pytest.mark.faults
def test_killed_and_started_again_it_has_every_event(redis: Redis) -> None:
    for number in range(500):
        telemetry.publish(redis, [("cancelled", {"study_id": str(number), "at": "2026-01-01T00:00:00+00:00"})])
    pid = server(redis)
    os.kill(pid, signal.SIGKILL)
    connection.ensure(settings())
    assert server(redis) != pid
    assert redis.xlen(telemetry.EVENTS) == 500


def test_one_that_hangs_is_waited_for_and_gets_no_second_beside_it(redis: Redis) -> None:
    pid = server(redis)
    os.kill(pid, signal.SIGSTOP)
    try:
        connection.ensure(settings())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert server(redis) == pid
