"""The Redis server of a home."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from data.settings import settings
from tasks.broker import connection, durable, server
from tasks.queue import telemetry
from tests.machine import alive, wait_for


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


# Each sync in the background takes half a minute, as on a disk that does not keep up.
SLOW_DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
typedef int (*call)(int);
static int slowly(const char *name, int file) {
    if (gettid() != getpid()) sleep(30);
    return ((call)dlsym(RTLD_NEXT, name))(file);
}
int fdatasync(int file) { return slowly("fdatasync", file); }
int fsync(int file) { return slowly("fsync", file); }
"""


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler and Linux")
def test_every_event_survives_a_redis_killed_on_a_slow_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, library = home.parent / "slow.c", home.parent / "slow.so"
    source.write_text(SLOW_DISK)
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=False).returncode:
        pytest.skip("the C compiler lacks headers or libraries")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    with server.serving(settings()) as redis:
        monkeypatch.delenv("LD_PRELOAD")
        (file,) = (home / "redis").glob("appendonlydir/*.incr.aof")
        end, number, size = time.monotonic() + 3, 0, -1
        # Redis may put off writing for two seconds; the kill comes as soon as it does.
        while time.monotonic() < end and file.stat().st_size > size:
            size = file.stat().st_size
            redis.xadd(telemetry.EVENTS, {"number": number})
            number += 1
        os.kill(process_of(redis), signal.SIGKILL)
        server.ensure(settings())
        assert redis.xlen(telemetry.EVENTS) == number


def test_the_log_is_written_through_to_the_disk_until_told_to_stop(
    redis: Redis, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redis.config_get("appendfsync") == {"appendfsync": "no"}
    (file,) = (home / "redis").glob("appendonlydir/*.incr.aof")
    synced: set[int] = set()
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(durable, "SECONDS", 0.01)
    stopping = threading.Event()
    thread = threading.Thread(target=durable.write_through, args=(settings(), stopping))
    thread.start()
    wait_for(lambda: file.stat().st_ino in synced)
    stopping.set()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_a_hanging_redis_is_not_joined_by_a_second_one(redis: Redis) -> None:
    pid = process_of(redis)
    os.kill(pid, signal.SIGSTOP)
    try:
        server.ensure(settings())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert process_of(redis) == pid
