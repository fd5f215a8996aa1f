"""Starting and stopping a Redis server for this home, unless REDIS_URL names one."""

import fcntl
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from redis import Redis
from redis.exceptions import BusyLoadingError, ConnectionError, ResponseError, TimeoutError

from data.atomic import write_whole
from data.os_errors import explained_text, full_disk
from data.settings import Settings
from tasks.broker.binary import FIRST, Product, Server, newest
from tasks.broker.connection import (
    BrokerError,
    Refused,
    client,
    errors_explained,
    password,
    redis_folder,
    socket_path,
    warn_if_open,
)
from tasks.process import spawn

START_SECONDS = 10.0
# A Redis on this machine that takes longer to answer is busy or hangs.
PROBE_SECONDS = 1.0

CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
requirepass {password}
dir {folder}
logfile {log}
appendonly yes
appendfsync no
save ""
"""

log = logging.getLogger(__name__)

# The Redis servers that this process started, by home; those that are tied to it end with it.
_children: "dict[Path, subprocess.Popen[bytes]]" = {}


@contextmanager
def serving(config: Settings, tied: bool = False) -> Iterator[Redis]:
    """Make sure that Redis answers within the block, and yield a client.

    Without REDIS_URL, the first process that enters a block starts the server, and the last one that leaves stops it.
    tied: a server that this process starts also ends when this process is killed. Raises BrokerError if Redis does not
    answer or start.
    """
    if config.redis_url is not None:
        warn_if_open(config)
        redis = client(config)
        with errors_explained(config):
            redis.ping()
        yield redis
        return
    folder = redis_folder(config.home)
    with (folder / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        ensure(config, tied)
        try:
            yield client(config)
        finally:
            _stop_if_last(config, users.fileno())


def ensure(config: Settings, tied: bool = False) -> None:
    """Start the server of this home unless it answers already; BrokerError if it does not start."""
    if config.redis_url is not None or _answers(config):
        return
    folder = redis_folder(config.home)
    with FileLock(folder / "start.lock"):
        if _answers(config):
            return
        _end_child(config.home, ends=False)
        socket_path(config.home).unlink(missing_ok=True)
        if full := full_disk(config.home):
            raise BrokerError(full)
        chosen = _prepare(folder)
        process = spawn([str(chosen.binary), str(_configure(config.home))], folder / "redis.out", tied)
        _children[config.home] = process
        deadline = time.monotonic() + START_SECONDS
        while not _answers(config):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                end = _log_end(folder)
                raise BrokerError(
                    explained_text(end, folder) or f"{chosen.product} did not start; its log ends with:\n{end}"
                )
            time.sleep(0.02)


def _prepare(folder: Path) -> Server:
    """Choose the server for the files in a folder, and copy files that it takes over from another one."""
    record = folder / "written-by"
    files = sorted(folder.glob("appendonly*"))
    known = Product.parse(record.read_text()) if record.exists() else None
    writer = (known or FIRST) if files else None
    chosen = newest(writer)
    if writer is not None and writer.version[:2] != chosen.product.version[:2]:
        _copy(files, folder / f"before-{chosen.product.slug}", writer, chosen.product)
    if known != chosen.product:
        write_whole(record, f"{chosen.product}\n".encode())
    return chosen


def _copy(files: Sequence[Path], target: Path, writer: Product, reader: Product) -> None:
    """Copy the files of one server before another one changes them, since there is no way back."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for file in files:
        if file.is_dir():
            shutil.copytree(file, unfinished / file.name)
        else:
            shutil.copy2(file, unfinished / file.name)
    unfinished.rename(target)
    log.warning(
        "%s takes over the files of the queue, which %s cannot read afterwards; a copy is in %s", reader, writer, target
    )


def _answers(config: Settings) -> bool:
    probe = client(config, patience=0)
    probe.connection_pool.connection_kwargs["socket_timeout"] = PROBE_SECONDS
    try:
        return bool(probe.ping())
    except (BusyLoadingError, TimeoutError, Refused):
        # The server runs, and answers once it has loaded its log, is resumed or has space, for which clients wait by
        # themselves. A second server would write to the same files.
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
    answers = _answers(config)
    if answers:
        redis = client(config, patience=0)
        try:
            redis.shutdown()
        except ResponseError:
            # It cannot write the last second of its log, for which nobody can wait.
            redis.shutdown(force=True)
        redis.close()
    _end_child(config.home, answers)


def _end_child(home: Path, ends: bool) -> None:
    """Wait for the server of a home that this process started; unless it ends by itself, end it.

    If its socket or its files were removed, nobody reaches it any more, and it must not write beside another one.
    """
    child = _children.pop(home, None)
    if child is None:
        return
    if not ends:
        child.terminate()
    try:
        child.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _configure(home: Path) -> Path:
    folder = redis_folder(home)
    text = CONFIGURATION.format(
        socket=_quoted(socket_path(home)),
        password=password(home),
        folder=_quoted(folder),
        log=_quoted(folder / "redis.log"),
    )
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text, encoding="utf-8")
    return file


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _log_end(folder: Path) -> str:
    files = [folder / "redis.log", folder / "redis.out"]
    lines = [
        line
        for file in files
        if file.exists()
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return "\n".join(lines[-5:]) or "(none)"
