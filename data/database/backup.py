"""A copy of the database while everything runs, and a copy put back in its place."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from data.atomic import flush
from data.database import schema
from data.database.database import CONFIG, Database
from engine.errors import UserError

CHUNK = 4 * 1024 * 1024

# Called with the number of bytes copied and of all bytes.
Progress = Callable[[int, int], None]


class BackupError(UserError):
    """A backup that cannot be written, or is none that can be put back."""


@dataclass(frozen=True)
class Backup:
    """A copy of the database: where it is, its bytes, the version of its tables, and what it holds."""

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
    database: Database, target: Path, force: bool = False, progress: Progress = lambda done, total: None
) -> Backup:
    """Copy the database to a file, which appears whole or not at all; readers go on, writers wait while it is copied.

    force: replace a file that is there. Raises BackupError where there is nothing to copy or no room for it, or where
    the copy does not hold what the original does.
    """
    target = target.resolve()
    if not database.path.exists():
        raise BackupError(f"there is no database at {database.path} to back up; set TICKETSCOPE_HOME to where it is")
    if target == database.path:
        raise BackupError(f"{target} is the database itself; give another file to --out")
    _refuse_present(target, force)
    with _copied(database.at_rest, target, progress) as copy:
        found = inspect(copy)
        # Looked at again: another backup may have taken the name meanwhile.
        _refuse_present(target, force)
        copy.replace(target)
        flush(target.parent)
    return Backup(target, found.size, found.version, found.studies, found.stages, found.results)


def inspect(path: Path) -> Backup:
    """Return what a backup holds; BackupError where it does not open, is not ours, or a newer Ticketscope wrote it."""
    if not path.is_file():
        raise BackupError(f"there is no backup {path}; python -m tasks backup makes one")
    try:
        with duckdb.connect(str(path), read_only=True, config=CONFIG) as connection:
            version = schema.known_version(connection)
            if version == 0:
                raise BackupError(f"{path} is an empty database and no backup; give a file that backup wrote")
            counts = [
                row[0]
                for table in ("studies", "stages", "results")
                for row in connection.execute(f"SELECT count(*) FROM {table}").fetchall()
            ]
    except schema.SchemaError as error:
        raise BackupError(f"{path}: {error}") from error
    except duckdb.Error as error:
        raise BackupError(f"{path} does not open ({error}); give a file that python -m tasks backup wrote") from error
    return Backup(path, path.stat().st_size, version, *counts)


def restore(database: Database, source: Path, progress: Progress = lambda done, total: None) -> Path | None:
    """Put a backup in the place of the database, brought up to date, and return the new path of the previous one.

    None where there was none. Whoever has the database open is waited for, and finds the other one after that. Raises
    BackupError as `inspect` and for want of room, with the database left as it was.
    """
    source = source.resolve()
    if source == database.path:
        raise BackupError(f"{source} is the database itself; give a file that python -m tasks backup wrote")
    inspect(source)
    with _copied(lambda: nullcontext(source), database.path, progress) as copy:
        with duckdb.connect(str(copy), config=CONFIG) as connection:
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
    """Give the database a second name that stays when its first one goes to another file."""
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if aside.exists():
        aside = aside.with_name(f"{aside.name}-{secrets.token_hex(2)}")
    log = _log(path)
    if log.exists():
        try:
            # The log is written into the file, which is then complete without it.
            with duckdb.connect(str(path), config=CONFIG) as connection:
                connection.execute("CHECKPOINT")
        except duckdb.Error:
            # A damaged database goes with its log, which the one put in its place must not find.
            log.replace(_log(aside))
    # A link, so that there is a database at every moment: a process that found none would create an empty one.
    try:
        os.link(path, aside)
    except OSError:
        # Some network file systems have no links.
        shutil.copy2(path, aside)
    return aside


@contextmanager
def _copied(resting: Callable[[], AbstractContextManager[Path]], beside: Path, progress: Progress) -> Iterator[Path]:
    """Yield a whole copy of a database, next to where it will go, and remove it unless it has gone there."""
    copy = beside.with_name(f".{beside.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            with resting() as path:
                _copy(path, copy, progress)
                if _log(path).exists():
                    _copy(_log(path), _log(copy), lambda done, total: None)
            if _log(copy).exists():
                # The last writer was killed: a checkpoint writes its log into the copy, which is then one file.
                with duckdb.connect(str(copy), config=CONFIG) as connection:
                    connection.execute("CHECKPOINT")
                flush(copy)
        except OSError as error:
            raise BackupError(_unwritten(copy, beside, error)) from error
        except duckdb.Error as error:
            raise BackupError(f"the copy beside {beside} does not open: {error}; nothing was changed") from error
        yield copy
    finally:
        for left in (copy, _log(copy)):
            left.unlink(missing_ok=True)


def _copy(path: Path, copy: Path, progress: Progress) -> None:
    total, done, reported = path.stat().st_size, 0, time.monotonic()
    with path.open("rb") as reader, copy.open("xb") as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            done += len(chunk)
            if time.monotonic() - reported > 0.1:
                reported = time.monotonic()
                progress(done, total)
        writer.flush()
        os.fsync(writer.fileno())
    progress(done, total)


def _refuse_present(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise BackupError(f"{target} is there already; give another file to --out, or --force to replace it")


def _unwritten(copy: Path, target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room for {target} ({error.strerror}); make room there, or name a file on another disk"
    return f"cannot write {target}: {error.strerror or error}; name a folder that can be written"


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
