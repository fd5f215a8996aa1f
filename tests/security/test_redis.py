"""Access to Redis: only this user reaches the Redis of a home, by a socket and a password."""

import stat
from pathlib import Path

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from data.settings import Settings, settings
from tasks.broker.connection import client, open_to_all, socket_path
from tasks.broker.server import serving
from tasks.queue import scripts, telemetry
from tests.machine import Machine, wait_for


def sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def internet() -> set[str]:
    """Return the inodes of all TCP, UDP and raw sockets of this machine."""
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")]
    return {line.split()[9] for table in tables if table.exists() for line in table.read_text().splitlines()[1:]}


def test_redis_listens_on_a_private_socket_and_no_network(home: Path) -> None:
    with serving(settings()) as redis:
        pid = int(redis.info()["process_id"])
        assert sockets(pid)
        assert not sockets(pid) & internet()
        assert redis.config_get("port")["port"] == "0"
        path = socket_path(settings().home)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
        for name in ("password", "redis.conf"):
            assert stat.S_IMODE((home / "redis" / name).stat().st_mode) == 0o600
        password = (home / "redis" / "password").read_text()
        assert len(password) == 64
        # The list of processes does not show the password.
        assert password not in Path(f"/proc/{pid}/cmdline").read_text()
        for wrong in (None, "", "guess", password[:-1]):
            with pytest.raises((redis_py.AuthenticationError, redis_py.ResponseError)):
                redis_py.Redis(unix_socket_path=str(path), password=wrong, retry=Retry(NoBackoff(), 0)).keys()


@pytest.mark.parametrize(
    ("url", "warns"),
    [
        (None, False),
        ("unix:///run/redis.sock", False),
        ("redis://localhost:6379/0", False),
        ("redis://127.0.0.1/0", False),
        ("redis://[::1]:6379", False),
        ("redis://:secret@redis.example:6379/0", False),
        ("rediss://ada:secret@redis.example", False),
        ("redis://redis.example:6379/0", True),
        ("rediss://redis.example:6379/0", True),
        ("redis://10.0.0.5", True),
        ("redis://ada@10.0.0.5", True),
        ("redis://127.0.0.1.evil.example", True),
    ],
)
def test_a_remote_redis_without_a_password_gives_a_warning(url: str | None, warns: bool) -> None:
    assert (open_to_all(url) is not None) is warns


@pytest.mark.parametrize("arguments", [("-m", "tasks", "recorder"), ("-m", "tasks.worker")])
def test_starting_a_process_on_an_open_redis_warns(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    # The address is reserved for documentation, so that nothing answers there.
    monkeypatch.setenv("REDIS_URL", "redis://192.0.2.1:6379/0")
    machine = Machine(Settings(REDIS_URL="redis://192.0.2.1:6379/0", TICKETSCOPE_HOME=str(home)))
    log = machine.logs / "open.log"
    try:
        machine.start(*arguments, log="open")
        wait_for(lambda: log.exists() and "names 192.0.2.1, beyond this machine, and no password" in log.read_text())
    finally:
        machine.stop()


def test_forged_entries_of_workers_are_ignored(home: Path) -> None:
    del home
    with serving(settings()):
        redis = client(settings())
        for number, text in enumerate(["not JSON", "[]", "{}", '{"name": 5}', "\udcff", '{"since": "9999999"}']):
            redis.zadd(telemetry.WORKERS, {f"forged:{number}": 0})
            redis.set(f"{scripts.PREFIX}worker:forged:{number}", text)
        redis.zadd(f"{scripts.PREFIX}leases", {"a" * 32: 1, "b" * 32: 2})
        redis.hset(f"{scripts.PREFIX}progress:{'a' * 32}", mapping={"epoch": "many", "worker": "<b>"})
        redis.hset(f"{scripts.PREFIX}progress:{'b' * 32}", mapping={"epoch": "9" * 5000})
        assert telemetry.workers(redis) == []
        assert telemetry.progress(redis=redis) == {}
        redis.close()
