"""Which Ticketscope services run on this host and on what, so that a command can warn if it uses something else.

Each service leaves a record in a folder that all accounts share, with its process and where it works. A record counts
only while that process lives and belongs to the account that wrote it.
"""

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from data import processes
from data.settings import Settings
from tasks.broker.connection import without_password

# Tests, which run services beside each other, name a folder of their own here.
RUNTIME = "TICKETSCOPE_RUNTIME"
PREFIX = "ticketscope-"
# A record is short; a longer file is not one.
LONGEST = 20_000


@dataclass(frozen=True)
class Place:
    """Where a process works: its home, its queue and its artifact store, without passwords."""

    home: str
    queue: str
    artifacts: str


@dataclass(frozen=True)
class Running:
    """A service that runs on this host; account: the name of the one that runs it."""

    command: str
    place: Place
    pid: int
    since: datetime
    account: str


def place(config: Settings) -> Place:
    """Return where a process with some settings works."""
    queue = "started here" if config.redis_url is None else without_password(config.redis_url)
    return Place(str(config.home), queue, without_password(config.artifacts))


@contextmanager
def announced(config: Settings, command: str) -> Iterator[None]:
    """Tell other commands of this host within the block that this process runs a service; it never fails."""
    file = _folder() / f"{PREFIX}{os.getuid()}-{os.getpid()}"
    with suppress(OSError, psutil.Error):
        _write(file, config, command)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()


def running() -> list[Running]:
    """Return the services of this host that can be seen from this account, the oldest first."""
    found = []
    with suppress(OSError):
        for file in _folder().glob(f"{PREFIX}*"):
            with suppress(OSError, ValueError, TypeError, KeyError, psutil.Error):
                found.append(_read(file))
    return sorted((service for service in found if service is not None), key=lambda service: service.since)


def others(config: Settings) -> list[Running]:
    """Return one service for each other place that services of this host work at; none if one works at this one."""
    mine = place(config)
    by_place: dict[Place, Running] = {}
    for service in running():
        by_place.setdefault(service.place, service)
    return [] if mine in by_place else list(by_place.values())


def _folder() -> Path:
    # Services of systemd have a /tmp of their own, but not a /dev/shm; macOS has no /dev/shm.
    shared = Path("/dev/shm")
    return Path(os.environ.get(RUNTIME) or (shared if shared.is_dir() else "/tmp"))


def _write(file: Path, config: Settings, command: str) -> None:
    for old in _folder().glob(f"{PREFIX}{os.getuid()}-*"):
        # A process that was killed left its record.
        with suppress(OSError, ValueError):
            if not processes.runs(int(old.name.rpartition("-")[2]), None):
                old.unlink()
    file.unlink(missing_ok=True)
    since = datetime.now(UTC).isoformat()
    record = {"command": command, "since": since, "born": processes.born(os.getpid()), **asdict(place(config))}
    # Others may not put a link in the way, and may read it whatever this account's mask is.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        os.fchmod(descriptor, 0o644)
        json.dump(record, writer)


def _read(file: Path) -> Running | None:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as reader:
        owner = os.fstat(descriptor).st_uid
        record = json.loads(reader.read(LONGEST))
    pid, since = int(file.name.rpartition("-")[2]), datetime.fromisoformat(record["since"]).astimezone(UTC)
    # The system may have given the number to a later process.
    if not processes.runs(pid, float(record["born"])) or psutil.Process(pid).uids().real != owner:
        return None
    command, *where = (str(record[name]) for name in ("command", "home", "queue", "artifacts"))
    # Any account may write a record of its own processes, which must not reach a terminal as more than text.
    if not "".join((command, *where)).isprintable():
        return None
    return Running(command, Place(*where), pid, since, _name(owner))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"
