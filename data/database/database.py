"""The DuckDB file, opened for one writer or many readers, and created or migrated at the first use."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd

from data.database import other_programs, recording, schema
from data.database.attached import attached
from data.database.events import Event, EventError, parse
from data.database.lock import Busy, exclusive, shared
from data.os_errors import explained, explained_text
from data.private import private_file, private_folder
from engine.errors import UserError

T = TypeVar("T")

# DuckDB raises these where it cannot write to the disk.
UNWRITABLE = (duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException, duckdb.TransactionException)

# These errors come from values, not from the file or the disk.
FAULTY_VALUES = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.ProgrammingError,
    duckdb.NotSupportedError,
    TypeError,
    ValueError,
    OverflowError,
    NotImplementedError,
)


# Seconds to wait for others that use the database, and seconds after such a wait in which nobody waits again.
PATIENCE, AGAIN = 30.0, 2.0
# Other programs, such as notebooks, may have the file open for hours: seconds between two attempts to open it, and
# seconds after a wait in vain in which an attempt does not wait.
PAUSE, HELD_AGAIN = 0.1, 10.0


class DatabaseError(UserError):
    """The database cannot be opened, written or migrated."""


class DatabaseBusy(DatabaseError):
    """Others use the database for longer than this program waits."""


class DatabaseHeld(DatabaseBusy):
    """A program that is none of Ticketscope's has the file open."""


class Database:
    """The database of studies at a path.

    DuckDB lets one process write or many read, so every access opens the file anew under a fair lock beside it. Keep
    blocks short, because others wait for them. Threads can share an instance. patience: seconds to wait for others,
    PATIENCE by default; every access raises DatabaseBusy after them, and says whom it waited for.
    """

    def __init__(self, path: Path, patience: float | None = None) -> None:
        self.path = path.resolve()
        self._patience = PATIENCE if patience is None else patience
        self._busy_until = self._held_until = 0.0
        self._lock = self.path.with_name(f"{self.path.name}.lock")
        self._ready = False

    def ensure(self) -> None:
        """Create the file with its tables, or migrate an older one; DatabaseError if another program wrote it."""
        try:
            private_folder(self.path.parent)
        except OSError as error:
            raise DatabaseError(f"TICKETSCOPE_HOME: {explained(error, self.path.parent)}") from error
        other_programs.explain_reading(self.path)
        if not self._is_current():
            with ExitStack() as stack:
                if self.path.exists():
                    self._install(stack.enter_context(self._access(exclusive, read_only=False)))
                else:
                    stack.enter_context(self._locked(exclusive))
                    if not self.path.exists():
                        self._create()
        self._ready = True

    def _is_current(self) -> bool:
        """Return whether the file has the present tables, which other readers do not hinder, as they hinder writing."""
        if not self.path.exists():
            return False
        private_file(self.path)
        with self._access(shared, read_only=True) as connection:
            return self._checked(schema.is_current, connection)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a read-only connection for the block, shared with other readers; DatabaseError if that fails."""
        self._require()
        with self._access(shared, read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an exclusive connection for the block, in one transaction that an exception rolls back.

        DatabaseError if the file cannot be opened or written, as on a full disk.
        """
        self._require()
        try:
            with self._access(exclusive, read_only=False) as connection:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
        except UNWRITABLE as error:
            reason = explained_text(str(error), self.path.parent)
            raise DatabaseError(
                reason or f"cannot write the database {self.path}: {error}; check space and rights there"
            ) from error

    @contextmanager
    def at_rest(self) -> Iterator[Path]:
        """Lock out writers within the block, and yield the file's path; this process must not open the file meanwhile.

        If the last writer was killed, there is a write-ahead log beside the file, whose name ends in .wal. Raises
        DatabaseHeld if another program has the file open for writing.
        """
        try:
            with self._access(shared, read_only=True):
                pass
        except DatabaseBusy:
            raise
        except DatabaseError:
            # The caller examines what it copied from a damaged file.
            pass
        with self._locked(shared):
            yield self.path

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """Lock out all readers and writers within the block, and yield the file's path, so that it can be replaced."""
        with self._locked(exclusive):
            yield self.path

    def record(self, events: Sequence[Event]) -> int:
        """Write a batch of events in one transaction and return their number.

        Events may come twice, late and in any order. Raises EventError with an event that can never be recorded; some
        of the others may be written by then.
        """
        parsed = [parse(event) for event in events]
        if not parsed:
            return 0
        try:
            with self.writing() as connection:
                recording.apply(connection, parsed)
        except FAULTY_VALUES as error:
            if len(events) == 1:
                raise EventError(events[0], f"the database rejects it: {str(error)[:500]}") from error
            # The event that causes the error must not block the others forever.
            half = len(events) // 2
            return self.record(events[:half]) + self.record(events[half:])
        return len(parsed)

    @contextmanager
    def _access(
        self, mode: Callable[[Path, float], AbstractContextManager[None]], *, read_only: bool
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Hold the lock and open the file for the block; DatabaseBusy, as after a wait for other programs.

        Between two attempts to open it, nobody is locked out: other programs that read do not hinder readers here.
        """
        deadline = time.monotonic() + (self._patience if time.monotonic() > self._held_until else 0.0)
        with ExitStack() as stack:
            while True:
                try:
                    with ExitStack() as attempt:
                        attempt.enter_context(self._locked(mode))
                        connection = attempt.enter_context(self._opened(self.path, read_only=read_only))
                        stack.enter_context(attempt.pop_all())
                        break
                except DatabaseHeld:
                    if time.monotonic() >= deadline:
                        self._held_until = time.monotonic() + HELD_AGAIN
                        raise
                time.sleep(PAUSE)
            yield connection

    @contextmanager
    def _locked(self, mode: Callable[[Path, float], AbstractContextManager[None]]) -> Iterator[None]:
        """Hold the lock within the block; DatabaseBusy, or DatabaseError if the lock's file cannot be opened."""
        with ExitStack() as stack:
            try:
                # A page asks several times in a row; it waits once.
                patience = self._patience if time.monotonic() > self._busy_until else 0.0
                stack.enter_context(mode(self._lock, patience))
            except Busy as busy:
                self._busy_until = time.monotonic() + AGAIN
                raise DatabaseBusy(f"the database is in use by {busy}; try again when that has ended") from busy
            except OSError as error:
                raise DatabaseError(explained(error, self._lock)) from error
            yield

    def _require(self) -> None:
        if not self._ready or not self.path.exists():
            self.ensure()

    def _create(self) -> None:
        # The file is written under another name first, so that a killed process leaves no incomplete database.
        aside = self.path.with_name(f"{self.path.name}.new")
        aside.unlink(missing_ok=True)
        with self._opened(aside, read_only=False) as connection:
            self._install(connection)
        private_file(aside).replace(self.path)

    def _install(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._checked(schema.install, connection)

    def _checked(self, check: Callable[[duckdb.DuckDBPyConnection], T], connection: duckdb.DuckDBPyConnection) -> T:
        try:
            return check(connection)
        except schema.SchemaError as error:
            raise DatabaseError(f"{self.path}: {error}") from error

    @contextmanager
    def _opened(self, path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(attached(path, read_only=read_only))
            except duckdb.Error as error:
                if program := other_programs.holder(error):
                    raise DatabaseHeld(
                        f"the database is in use by {program}; close it there: {other_programs.README} beside the "
                        "database says how to read it without keeping others out"
                    ) from error
                raise DatabaseError(
                    explained_text(str(error), path)
                    or f"cannot open the database {path}: {error}; close other programs that have it open, "
                    "or move the file away to begin a new one"
                ) from error
            yield connection


def frame(connection: duckdb.DuckDBPyConnection, query: str, *values: Any, **named: Any) -> pd.DataFrame:
    """Return the rows of a query; times are in UTC with their zone, and a missing text is None.

    values, named: the query's parameters $1, $2 … or $name.
    """
    rows: pd.DataFrame = connection.execute(query, named or list(values)).df()
    for name in rows.columns:
        if pd.api.types.is_datetime64_any_dtype(rows[name]):
            rows[name] = rows[name].dt.tz_localize(UTC)
        elif pd.api.types.is_string_dtype(rows[name]) and rows[name].hasnans:
            # pandas marks a missing text by NaN, which is true in conditions.
            rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
    return rows
