"""Opening a DuckDB file by attaching it to a DuckDB in memory, which takes a tenth of the time of starting one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import duckdb

# The files that DuckDB writes beside its own, by what it appends to the name.
BESIDE = (".wal", ".wal.checkpoint", ".wal.recovery")


@contextmanager
def attached(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file for the block; duckdb.Error if that fails.

    Threads of one process share a file that they only read. The caller keeps writers and readers apart.
    """
    instance = _instance(os.getpid(), path)
    with instance.using(read_only) as connection:
        yield connection


@lru_cache(maxsize=4)
def _instance(process: int, path: Path) -> "_Instance":
    """Return this process's instance for a file; a forked process must not use its parent's."""
    del process
    return _Instance(path)


class _Instance:
    """A DuckDB in memory that can open one file and no other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._users = 0
        self._memory: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def using(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection to the file, which is attached as long as anybody uses it."""
        with self._lock:
            if self._memory is None:
                self._memory = self._start()
            if self._users == 0:
                self._attach(self._memory, read_only)
            self._users += 1
            memory = self._memory
        try:
            # Closing a cursor also ends a transaction that was not committed.
            with memory.cursor() as connection:
                connection.execute("USE file")
                yield connection
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._detach()

    def _start(self) -> duckdb.DuckDBPyConnection:
        memory = duckdb.connect(":memory:")
        # DuckDB must not fetch extensions from the network, read other files, or read Python's variables as tables,
        # whatever a query names.
        memory.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        # It writes beside the file what does not fit into memory, as it does by default for a file that it opens.
        memory.execute("SET temp_directory = ?", [f"{self._path}.tmp"])
        memory.execute("SET allowed_paths = ?", [[f"{self._path}{end}" for end in ("", *BESIDE)]])
        memory.execute("SET enable_external_access = false")
        return memory

    def _attach(self, memory: duckdb.DuckDBPyConnection, read_only: bool) -> None:
        name = str(self._path).replace("'", "''")
        try:
            memory.execute(f"ATTACH '{name}' AS file {'(READ_ONLY)' if read_only else ''}")
        except duckdb.Error:
            self._end()
            raise

    def _detach(self) -> None:
        """Close the file; what was committed is safe beside it even if the disk is full."""
        try:
            if self._memory is not None:
                self._memory.execute("DETACH file")
        except duckdb.Error:
            # Nothing can be done with a DuckDB after a fatal error.
            self._end()

    def _end(self) -> None:
        memory, self._memory = self._memory, None
        if memory is not None:
            with suppress(duckdb.Error):
                memory.close()
