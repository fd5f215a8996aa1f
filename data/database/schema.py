"""Creating the tables of a DuckDB file, and bringing an older file up to date."""

from functools import cache
from pathlib import Path

import duckdb

from engine.errors import UserError

FOLDER = Path(__file__).parent


class SchemaError(UserError):
    """A DuckDB file does not hold tables of a known version."""


def install(connection: duckdb.DuckDBPyConnection, folder: Path = FOLDER) -> int:
    """Create the tables of `schema.sql`, or apply the migrations that a file lacks, in one transaction.

    folder: holds schema.sql and migrations/NNN.sql. Returns the version of the file before, 0 for a new one.
    Raises SchemaError for a file that a newer Ticketscope or another program wrote, and where a migration is missing.
    """
    newest = (folder / "schema.sql").read_text(encoding="utf-8")
    target = _declared(newest)
    before = known_version(connection, target)
    if before == target:
        return before
    scripts = [newest] if before == 0 else [_migration(folder, number) for number in range(before + 1, target + 1)]
    connection.execute("BEGIN")
    for script in scripts:
        connection.execute(script)
    connection.execute("COMMIT")
    return before


def known_version(connection: duckdb.DuckDBPyConnection, newest: int | None = None) -> int:
    """Return the version of a file's tables; SchemaError where a newer Ticketscope or another program wrote them."""
    newest = newest or _declared((FOLDER / "schema.sql").read_text(encoding="utf-8"))
    found = version(connection)
    if found > newest:
        raise SchemaError(
            f"the database has version {found}, this Ticketscope knows versions up to {newest}; "
            "update Ticketscope, or set TICKETSCOPE_HOME to another folder"
        )
    return found


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the version of a file's tables, 0 where there are none; SchemaError where another program wrote them."""
    names = {str(row[0]) for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not names:
        return 0
    row = None
    if "meta" in names:
        row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    if row is None:
        raise SchemaError(
            f"the database holds tables that are not Ticketscope's ({', '.join(sorted(names))}); "
            "move the file away, or set TICKETSCOPE_HOME to another folder"
        )
    return int(row[0])


@cache
def _declared(schema: str) -> int:
    with duckdb.connect(":memory:") as empty:
        empty.execute(schema)
        return version(empty)


def _migration(folder: Path, number: int) -> str:
    path = folder / "migrations" / f"{number:03d}.sql"
    if not path.exists():
        raise SchemaError(
            f"the database has an older version, and {path} is missing; reinstall Ticketscope, "
            "or set TICKETSCOPE_HOME to another folder"
        )
    return path.read_text(encoding="utf-8")
