"""Connections to Redis: the one that REDIS_URL names, or else the one of this home."""

import hashlib
import ipaddress
import logging
import os
import re
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
from redis._parsers.base import BaseParser
from redis.backoff import ExponentialBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

from data.os_errors import explained_text
from data.private import private_folder
from data.settings import Settings, settings
from engine.errors import UserError

T = TypeVar("T")

# A socket's path must fit sockaddr_un: 107 bytes on Linux, 103 elsewhere.
SOCKET_PATH_LIMIT = 103

# What may hold a secret among the options of a URL.
SECRET_OPTION = re.compile(r"([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)

CONNECT_SECONDS = 3.0
# No answer takes longer: commands that block do so for less than a second (`recorder.BLOCK_MS`, Celery's BRPOP).
ANSWER_SECONDS = 5.0
# A connection that was idle for this long is checked before its next command, since it may be dead.
IDLE_SECONDS = 10

# Without these options, a connection whose packets are dropped seems alive for a quarter of an hour or longer.
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


class Refused(ConnectionError):
    """Redis refuses to write until its disk or its memory has space again.

    To clients this is a kind of lost connection, so that they wait and try again. The text is that of Redis.
    """


# Clients raise these for what Redis answers; Celery's clients use the same table.
BaseParser.EXCEPTION_CLASSES.update(MISCONF=Refused, OOM=Refused)


class BrokerError(UserError):
    """Redis does not answer or cannot be started."""


class _PasswordFile(CredentialProvider):
    """The password of a home's Redis, read when a connection needs it, so that a client can exist before the Redis."""

    def __init__(self, home: Path) -> None:
        self._file = _password_file(home)

    def get_credentials(self) -> tuple[str]:
        return (self._file.read_text() if self._file.exists() else "",)


class Patience(Retry):
    """Retries a command for some seconds, at least once; for 0 seconds, never."""

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

        def is_worth_another_try(error: Exception) -> bool:
            nonlocal failures
            failures += 1
            if is_retryable is not None and not is_retryable(error):
                return False
            if failures > 1 and time.monotonic() > deadline:
                # The base class does not call `fail` if `is_retryable` ends the tries.
                fail(error, failures) if with_failure_count else fail(error)
                return False
            return True

        return super().call_with_retry(do, fail, is_worth_another_try, with_failure_count)


def connect(patience: float = 2.0) -> Redis:
    """Return this process's client of the Redis in use, which connects with its first command.

    patience: seconds to retry a command while Redis does not answer, for example during a restart.
    """
    return _connected(settings(), patience)


@lru_cache(maxsize=4)
def _connected(config: Settings, patience: float) -> Redis:
    return client(config, patience)


def client(config: Settings, patience: float = 2.0) -> Redis:
    """Return a new client of the Redis that some settings choose; see `connect`."""
    options: dict[str, Any] = {
        "decode_responses": True,
        # Other programs may write bytes that are not UTF-8; they must not stop the reader.
        "encoding_errors": "replace",
        # With this protocol, Redis 6 and 7 give answers of the same form.
        "protocol": 2,
        "retry": Patience(patience),
        "retry_on_error": [BusyLoadingError],
    }
    if config.redis_url is not None:
        network = {} if urlsplit(config.redis_url).scheme == "unix" else OVER_NETWORK
        return Redis.from_url(config.redis_url, **network, **options)
    return Redis(
        unix_socket_path=str(socket_path(config.home)), credential_provider=_PasswordFile(config.home), **options
    )


def celery_url(config: Settings) -> str:
    """Return the URL by which Celery reaches the Redis in use."""
    if config.redis_url is None:
        path = quote(str(socket_path(config.home)))
        return f"redis+socket://:{password(config.home)}@{path}?virtual_host=0"
    parts = urlsplit(config.redis_url)
    if parts.scheme == "unix":
        database = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    # From a URL's query, Celery reads these options only; by default it checks no certificate.
    options = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    query = {"ssl_cert_reqs": "required", **options} if parts.scheme == "rediss" else {}
    database = parts.path.strip("/") or dict(parse_qsl(parts.query)).get("db", "0")
    return urlunsplit(parts._replace(path=f"/{database}", query=urlencode(query)))


@contextmanager
def errors_explained(config: Settings | None = None) -> Iterator[None]:
    """Raise a BrokerError, which names the Redis and says what to do, for an error of its connection."""
    try:
        yield
    except (ConnectionError, TimeoutError, OperationalError) as error:
        raise BrokerError(_unreachable(config or settings(), error)) from error


def _unreachable(config: Settings, error: Exception) -> str:
    if isinstance(error, Refused):
        return _refusal(config, str(error))
    if config.redis_url is None:
        return "Redis is not running; start everything with: ticketscope up"
    reason = "refuses the password" if isinstance(error, AuthenticationError) else f"does not answer ({error})"
    where = without_password(config.redis_url)
    return f"REDIS_URL {where} {reason}; start that Redis, or unset REDIS_URL to have one started here"


def _refusal(config: Settings, text: str) -> str:
    where = str(config.home) if config.redis_url is None else f"Redis at {without_password(config.redis_url)}"
    if "maxmemory" in text:
        return f"Redis is at its memory limit ({where}); raise maxmemory there, then work goes on by itself"
    reason = explained_text(text, where) or f"Redis refuses to write ({where}): {text}"
    return f"{reason}; then work goes on by itself"


def without_password(url: str) -> str:
    """Return a URL with its password, also one among its options, replaced by asterisks."""
    parts = urlsplit(SECRET_OPTION.sub(r"\1***", url))
    if parts.password is None:
        return parts.geturl() if parts.query else url
    netloc = f"{parts.username or ''}:***@{parts.netloc.rsplit('@', 1)[-1]}"
    return urlunsplit(parts._replace(netloc=netloc))


def warn_if_open(config: Settings) -> None:
    """Log a warning if anyone who reaches the Redis in use can use it without a password."""
    if warning := open_to_all(config.redis_url):
        log.warning("%s", warning)


def open_to_all(url: str | None) -> str | None:
    """Return a warning for a REDIS_URL that names another host and no password; None for any other."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.password or parts.hostname is None or is_loopback(parts.hostname):
        return None
    return (
        f"REDIS_URL names {parts.hostname}, beyond this machine, and no password: anyone who reaches it can launch, "
        "cancel and delete studies. Set a password there (requirepass) and name it in REDIS_URL: "
        "rediss://:PASSWORD@host:port/0"
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
    """Return the path of the socket of a home's Redis: below home, or in a private folder if that is too long."""
    path = home / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = f"ticketscope-{os.getuid()}-{hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()}"
    folders = [Path(parent, name) for parent in (tempfile.gettempdir(), "/tmp")]
    folder = next((f for f in folders if len(os.fsencode(f / "redis.sock")) <= SOCKET_PATH_LIMIT), folders[-1])
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anyone may create a folder of this name in a shared folder: use it only if it is ours and closed to others.
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) != 0o700:
        raise BrokerError(f"{folder} is not private to this user; remove it, or choose a shorter TICKETSCOPE_HOME")
    return folder / "redis.sock"


def _password_file(home: Path) -> Path:
    return home / "redis" / "password"


def redis_folder(home: Path) -> Path:
    """Return the private folder of a home's Redis, after making it if it is missing."""
    return private_folder(private_folder(home) / "redis")


@lru_cache(maxsize=4)
def password(home: Path) -> str:
    """Return the password of a home's Redis; the first call makes it, readable by this user only."""
    redis_folder(home)
    file = _password_file(home)
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            new = file.with_suffix(".new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as writer:
                writer.write(secrets.token_hex(32))
            new.replace(file)
        return file.read_text()
