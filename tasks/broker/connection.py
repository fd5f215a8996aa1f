"""Connections to the Redis that holds what is live: the one that REDIS_URL names, or the one of this home."""

import hashlib
import ipaddress
import logging
import os
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from filelock import FileLock
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

from data.settings import Settings, settings
from engine.errors import UserError

T = TypeVar("T")

# A socket's path must fit sockaddr_un: 107 bytes on Linux, 103 elsewhere.
SOCKET_PATH_LIMIT = 103

CONNECT_SECONDS = 3.0
# Every answer comes sooner: commands that block do so for less than a second (`recorder.BLOCK_MS`, Celery's BRPOP).
ANSWER_SECONDS = 5.0
# An idle connection is checked before it is used again, so that no command is sent into a dead one.
IDLE_SECONDS = 10

# Without these, a connection whose packets are dropped looks alive for a quarter of an hour or longer.
OVER_NETWORK: dict[str, Any] = {
    "socket_timeout": ANSWER_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))
        if hasattr(socket, name)
    },
    "health_check_interval": IDLE_SECONDS,
}

log = logging.getLogger(__name__)


class BrokerError(UserError):
    """Redis does not answer or cannot be started."""


class Patience(Retry):
    """Retries a command for some seconds, however long each try takes; at least once unless the seconds are 0."""

    def __init__(self, seconds: float) -> None:
        # The base class counts tries; the deadline below ends them instead.
        super().__init__(ExponentialBackoff(cap=0.5, base=0.02), retries=-1 if seconds else 0)
        self._seconds = seconds

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Call `do` until it succeeds; raises its last error once the seconds are over."""
        deadline = time.monotonic() + self._seconds
        failures = 0

        def worth_it(error: Exception) -> bool:
            nonlocal failures
            failures += 1
            if is_retryable is not None and not is_retryable(error):
                return False
            if failures > 1 and time.monotonic() > deadline:
                # The base class does not call it where `is_retryable` ends the tries.
                fail(error, failures) if with_failure_count else fail(error)
                return False
            return True

        return super().call_with_retry(do, fail, worth_it, with_failure_count)


def connect(patience: float = 2.0) -> Redis:
    """Return this process's client of the Redis in use; it connects with its first command.

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
        # Bytes that are no UTF-8 were written by someone else, and must not stop whoever reads them.
        "encoding_errors": "replace",
        # Answers have the same form on Redis 6 and 7.
        "protocol": 2,
        "retry": Patience(patience),
        "retry_on_error": [BusyLoadingError],
    }
    if config.redis_url is not None:
        network = {} if urlsplit(config.redis_url).scheme == "unix" else OVER_NETWORK
        return Redis.from_url(config.redis_url, **network, **options)
    return Redis(unix_socket_path=str(socket_path(config.home)), password=password(config.home), **options)


def celery_url(config: Settings) -> str:
    """Return the URL by which Celery reaches the Redis in use."""
    if config.redis_url is None:
        path = quote(str(socket_path(config.home)))
        return f"redis+socket://:{password(config.home)}@{path}?virtual_host=0"
    parts = urlsplit(config.redis_url)
    if parts.scheme == "unix":
        database = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    # Celery reads nothing but these from a URL's query, and by default checks no certificate.
    options = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    chosen = {"ssl_cert_reqs": "required", **options} if parts.scheme == "rediss" else {}
    database = parts.path.strip("/") or dict(parse_qsl(parts.query)).get("db", "0")
    return urlunsplit(parts._replace(path=f"/{database}", query=urlencode(chosen)))


@contextmanager
def errors_explained(config: Settings | None = None) -> Iterator[None]:
    """Turn a Redis that does not answer into a BrokerError that says which one and what to do."""
    try:
        yield
    except (ConnectionError, TimeoutError, OperationalError) as error:
        raise BrokerError(_unreachable(config or settings(), error)) from error


def _unreachable(config: Settings, error: Exception) -> str:
    if config.redis_url is None:
        return "Redis is not running; start everything with: python -m tasks up"
    reason = "refuses the password" if isinstance(error, AuthenticationError) else f"does not answer ({error})"
    where = without_password(config.redis_url)
    return f"REDIS_URL {where} {reason}; start that Redis, or unset REDIS_URL to have one started here"


def without_password(url: str) -> str:
    """Return a URL with its password replaced by asterisks, fit to be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    netloc = f"{parts.username or ''}:***@{parts.netloc.rsplit('@', 1)[-1]}"
    return urlunsplit(parts._replace(netloc=netloc))


def warn_if_open(config: Settings) -> None:
    """Log a warning where anyone who reaches the Redis in use can use it."""
    if warning := open_to_all(config.redis_url):
        log.warning("%s", warning)


def open_to_all(url: str | None) -> str | None:
    """Return a warning for a REDIS_URL that anyone who reaches its host can use; None for any other."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or parts.hostname is None or is_loopback(parts.hostname):
        return None
    return (
        f"REDIS_URL names {parts.hostname}, beyond this machine, and no password: whoever reaches it can launch, "
        "cancel and delete. Set a password there (requirepass) and give it here: rediss://:PASSWORD@host:port/0"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host's name means this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def socket_path(home: Path) -> Path:
    """Return the socket of a home's Redis: below home, or in a short private folder where that path is too long."""
    path = home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = f"ticketscope-{os.getuid()}-{hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()}"
    folders = [Path(parent, name) for parent in (tempfile.gettempdir(), "/tmp")]
    folder = next((f for f in folders if len(os.fsencode(f / "redis.sock")) <= SOCKET_PATH_LIMIT), folders[-1])
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anyone may create names in a shared folder: use it only if it is ours and closed to others.
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700:
        raise BrokerError(f"{folder} is not private to this user; remove it, or choose a shorter TICKETSCOPE_HOME")
    return folder / "redis.sock"


def redis_folder(home: Path) -> Path:
    """Return the private folder of a home's Redis, made where it is missing."""
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


@lru_cache(maxsize=4)
def password(home: Path) -> str:
    """Return the password of a home's Redis, made on the first call, readable to this user only."""
    file = redis_folder(home) / "password"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            aside = file.with_suffix(".new")
            aside.unlink(missing_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as writer:
                writer.write(secrets.token_hex(32))
            aside.replace(file)
        return file.read_text()
