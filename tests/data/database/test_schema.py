import os
import shutil
from pathlib import Path

import duckdb
import pytest

from data.database import schema
from data.database.database import Database
from data.database.schema import SchemaError, install, version

# The tables of each released version.
VERSIONS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
FIRST = VERSIONS[0]
COLUMNS = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() ORDER BY ALL"


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A schema that is two versions further than the first, with the migrations that lead there."""
    folder = tmp_path / "later"
    (folder / "migrations").mkdir(parents=True)
    newest = (
        FIRST.read_text()
        .replace("'version', '1'", "'version', '3'")
        .replace("CREATE TABLE residuals", "CREATE TABLE notes (text VARCHAR);\nCREATE TABLE residuals")
    )
    (folder / "schema.sql").write_text(newest + "ALTER TABLE residuals ADD COLUMN device VARCHAR;\n")
    second = "CREATE TABLE notes (text VARCHAR); UPDATE meta SET value = '2' WHERE key = 'version';"
    third = "ALTER TABLE residuals ADD COLUMN device VARCHAR; UPDATE meta SET value = '3' WHERE key = 'version';"
    (folder / "migrations" / "002.sql").write_text(second)
    (folder / "migrations" / "003.sql").write_text(third)
    return folder


def test_a_new_file_gets_the_newest_tables_once() -> None:
    with duckdb.connect() as connection:
        assert install(connection) == 0
        newest = version(connection)
        assert install(connection) == newest


def test_migration_gives_an_older_file_the_newest_tables_and_keeps_its_rows(later: Path) -> None:
    with duckdb.connect() as old, duckdb.connect() as new:
        old.execute(FIRST.read_text())
        old.execute("INSERT INTO residuals VALUES ('f', 1, 0.5)")
        assert install(old, later) == 1
        install(new, later)
        assert version(old) == version(new) == 3
        assert old.execute(COLUMNS).fetchall() == new.execute(COLUMNS).fetchall()
        assert old.execute("FROM residuals").fetchall() == [("f", 1, 0.5, None)]


def test_a_failed_migration_leaves_the_file_unchanged(later: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(FIRST.read_text())
        before = connection.execute(COLUMNS).fetchall()
    with (later / "migrations" / "003.sql").open("a") as file:
        file.write("INSERT INTO nowhere VALUES (1);")
    with duckdb.connect(str(path)) as connection, pytest.raises(duckdb.CatalogException):
        install(connection, later)
    with duckdb.connect(str(path)) as connection:
        assert version(connection) == 1
        assert connection.execute(COLUMNS).fetchall() == before


def test_a_missing_migration_is_named(later: Path) -> None:
    (later / "migrations" / "002.sql").unlink()
    with duckdb.connect() as connection:
        connection.execute(FIRST.read_text())
        with pytest.raises(SchemaError, match=r"002\.sql is missing; reinstall"):
            install(connection, later)


@pytest.mark.parametrize("earlier", VERSIONS, ids=lambda path: path.stem)
def test_every_earlier_version_is_migrated_to_the_newest_tables(earlier: Path) -> None:
    with duckdb.connect() as old, duckdb.connect() as new:
        old.execute(earlier.read_text())
        old.execute("INSERT INTO residuals VALUES ('f', 1, 0.5)")
        install(old)
        install(new)
        assert version(old) == version(new)
        assert old.execute(COLUMNS).fetchall() == new.execute(COLUMNS).fetchall()
        assert old.execute("SELECT fingerprint, residual FROM residuals").fetchall() == [("f", 0.5)]


def test_the_newest_version_is_among_the_saved_schemas() -> None:
    with duckdb.connect() as connection:
        install(connection)
        assert VERSIONS[-1].stem == f"{version(connection):03d}"


def test_every_version_since_the_first_has_its_migration() -> None:
    with duckdb.connect() as connection:
        install(connection)
        newest = version(connection)
    expected = {f"{number:03d}.sql" for number in range(2, newest + 1)}
    assert {path.name for path in (schema.FOLDER / "migrations").glob("*.sql")} == expected


def test_a_half_written_new_database_is_replaced(database: Database) -> None:
    database.path.parent.mkdir(parents=True)
    database.path.with_name(f"{database.path.name}.new").write_bytes(os.urandom(5000))
    database.ensure()
    with database.reading() as connection:
        assert version(connection) > 0


def test_a_removed_database_is_created_again(database: Database) -> None:
    database.ensure()
    shutil.rmtree(database.path.parent)
    with database.reading() as connection:
        assert version(connection) > 0


def test_queries_never_download_extensions_or_write(database: Database) -> None:
    with database.reading() as connection:
        setting = connection.execute("SELECT current_setting('autoinstall_known_extensions')").fetchone()
        assert setting == (False,)
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("CREATE TABLE more (x INTEGER)")
