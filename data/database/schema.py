"""Creating the tables of a DuckDB file, and migrating older files."""

from functools import cache
from pathlib import Path

import duckdb

from engine.errors import UserError

FOLDER = Path(__file__).parent


class SchemaError(UserError):
    """The tables of a DuckDB file are of an unknown version."""


def install(connection: duckdb.DuckDBPyConnection, folder: Path = FOLDER) -> int:
    """Create the tables of `schema.sql`, or apply the missing migrations, in one transaction.

    folder: contains schema.sql and migrations/NNN.sql. Returns the previous version of the file, 0 for a new one.
    Raises SchemaError for a file that a newer Ticketscope or another program wrote, and for a missing migration.
    """
    schema = (folder / "schema.sql").read_text(encoding="utf-8")
    target = _declared(schema)
    before = known_version(connection, target)
    if before == target:
        return before
    scripts = [schema] if before == 0 else [_migration(folder, number) for number in range(before + 1, target + 1)]
    connection.execute("BEGIN")
    for script in scripts:
        connection.execute(script)
    connection.execute("COMMIT")
    return before


def is_current(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether a file has the tables of `schema.sql`; SchemaError as in `known_version`."""
    newest = _declared((FOLDER / "schema.sql").read_text(encoding="utf-8"))
    return known_version(connection, newest) == newest


def known_version(connection: duckdb.DuckDBPyConnection, newest: int | None = None) -> int:
    """Return the version of a file's tables; SchemaError if a newer Ticketscope or another program wrote them."""
    newest = newest or _declared((FOLDER / "schema.sql").read_text(encoding="utf-8"))
    present = version(connection)
    if present > newest:
        raise SchemaError(
            f"the database has version {present}, this Ticketscope knows versions up to {newest}; "
            "update Ticketscope, or set TICKETSCOPE_HOME to another folder"
        )
    return present


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the version of a file's tables, 0 without tables; SchemaError if another program wrote them."""
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
