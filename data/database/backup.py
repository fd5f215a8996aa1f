"""Copying the database while everything runs, and restoring it from a copy."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from data.atomic import flush
from data.database import schema
from data.database.attached import attached
from data.database.database import Database
from data.private import FILE_MODE
from engine.errors import UserError

CHUNK = 4 * 1024 * 1024

# This is called with the number of copied bytes and the number of all bytes.
CopyProgress = Callable[[int, int], None]


class BackupError(UserError):
    """A backup cannot be written or restored."""


@dataclass(frozen=True)
class Backup:
    """A copy of the database: its path, its bytes, the version of its tables, and its numbers of rows."""

    path: Path
    size: int
    version: int
    studies: int
    stages: int
    results: int


def default_path(home: Path) -> Path:
    """Return the default path of a backup made now."""
    return home / "backups" / f"ticketscope-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.duckdb"


def backup(
    database: Database, target: Path, force: bool = False, progress: CopyProgress = lambda done, total: None
) -> Backup:
    """Copy the database to a file, which appears whole or not at all; meanwhile readers continue and writers wait.

    force: replace an existing file. Raises BackupError without a database, for one without studies, without room for
    the copy, and for a copy that does not open.
    """
    target = target.resolve()
    if not database.path.exists():
        raise BackupError(f"there is no database at {database.path}; set TICKETSCOPE_HOME to the folder that has it")
    if target == database.path:
        raise BackupError(f"{target} is the database itself; give another file to --out")
    _refuse_existing(target, force)
    with _copied(database.at_rest, target, progress) as copy:
        made = inspect(copy)
        if not made.studies:
            raise BackupError(
                f"there is nothing to back up: the database at {database.path} holds no study; set TICKETSCOPE_HOME, "
                "or TICKETSCOPE_CONFIG to a settings file, to the home that has them"
            )
        # Another backup may have taken the name meanwhile.
        _refuse_existing(target, force)
        copy.replace(target)
        flush(target.parent)
    return replace(made, path=target)


def inspect(path: Path) -> Backup:
    """Return a backup with its numbers; BackupError if it does not open, or another or a newer program wrote it."""
    if not path.is_file():
        raise BackupError(f"there is no backup {path}; ticketscope backup makes one")
    try:
        with attached(path, read_only=True) as connection:
            version = schema.known_version(connection)
            if version == 0:
                raise BackupError(f"{path} is an empty database; give a file that ticketscope backup wrote")
            counts = [
                row[0]
                for table in ("studies", "stages", "results")
                for row in connection.execute(f"SELECT count(*) FROM {table}").fetchall()
            ]
    except schema.SchemaError as error:
        raise BackupError(f"{path}: {error}") from error
    except duckdb.Error as error:
        raise BackupError(f"{path} does not open ({error}); give a file that ticketscope backup wrote") from error
    return Backup(path, path.stat().st_size, version, *counts)


def restore(database: Database, source: Path, progress: CopyProgress = lambda done, total: None) -> Path | None:
    """Replace the database by a backup, migrated to the current version, and return the previous one's new path.

    Returns None if there was no database. Waits until nobody has the database open. Raises BackupError as `inspect`
    does and without room for the copy; the database is then unchanged.
    """
    source = source.resolve()
    if source == database.path:
        raise BackupError(f"{source} is the database itself; give a file that ticketscope backup wrote")
    inspect(source)
    with _copied(lambda: nullcontext(source), database.path, progress) as copy:
        with attached(copy, read_only=False) as connection:
            try:
                schema.install(connection)
            except schema.SchemaError as error:
                raise BackupError(f"{source}: {error}") from error
        flush(copy)
        with database.alone() as path:
            previous = _set_aside(path) if path.exists() else None
            copy.replace(path)
            flush(path.parent)
    return previous


def _set_aside(path: Path) -> Path:
    """Give the database a second name, which remains when another file gets its first name."""
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if aside.exists():
        aside = aside.with_name(f"{aside.name}-{secrets.token_hex(2)}")
    log = _log(path)
    if log.exists():
        try:
            # A checkpoint writes the log into the file, which is then complete without it.
            with attached(path, read_only=False) as connection:
                connection.execute("CHECKPOINT")
        except duckdb.Error:
            # A damaged database keeps its log, which the restored database must not use.
            log.replace(_log(aside))
    # With a link there is a database at every moment; a process that found none would create an empty one.
    try:
        os.link(path, aside)
    except OSError:
        # Some network file systems have no links.
        shutil.copy2(path, aside)
    return aside


@contextmanager
def _copied(source: Callable[[], AbstractContextManager[Path]], beside: Path, progress: CopyProgress) -> Iterator[Path]:
    """Yield a complete copy of a database beside its destination, and remove it unless it was moved there."""
    copy = beside.with_name(f".{beside.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            with source() as path:
                _copy(path, copy, progress)
                if _log(path).exists():
                    _copy(_log(path), _log(copy), lambda done, total: None)
            if _log(copy).exists():
                # The last writer was killed, so a checkpoint must write its log into the copy.
                with attached(copy, read_only=False) as connection:
                    connection.execute("CHECKPOINT")
                flush(copy)
        except OSError as error:
            raise BackupError(_unwritten(copy, beside, error)) from error
        except duckdb.Error as error:
            raise BackupError(f"the copy beside {beside} does not open: {error}; nothing was changed") from error
        yield copy
    finally:
        for path in (copy, _log(copy)):
            path.unlink(missing_ok=True)


def _copy(path: Path, copy: Path, progress: CopyProgress) -> None:
    total, done, reported = path.stat().st_size, 0, time.monotonic()
    copy.touch(FILE_MODE, exist_ok=False)
    with path.open("rb") as reader, copy.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            done += len(chunk)
            if time.monotonic() - reported > 0.1:
                reported = time.monotonic()
                progress(done, total)
        writer.flush()
        os.fsync(writer.fileno())
    progress(done, total)


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise BackupError(f"{target} exists already; give another file to --out, or --force to replace it")


def _unwritten(copy: Path, target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room for {target} ({error.strerror}); make room there, or name a file on another disk"
    return f"cannot write {target}: {error.strerror or error}; name a file in a writable folder"


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
