"""A backup holds what the database held, appears whole or not at all, and can be restored."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from data.database import backup as backups
from data.database.backup import BackupError
from data.database.database import Database
from data.database.schema import version
from data.queries import studies
from tests.data.made_results import STUDY_ID, Stream, contents, made_plan, whole_study

FIRST = Path(__file__).parent / "schemas" / "001.sql"


@pytest.fixture
def full(database: Database) -> Database:
    """A database with a finished study."""
    database.record(whole_study(Stream(), made_plan()))
    return database


def test_a_backup_holds_the_content_of_the_database_and_reports_its_size(full: Database, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    target = tmp_path / "deep" / "copy.duckdb"
    copy = backups.backup(full, target, progress=lambda done, total: steps.append((done, total)))
    assert contents(target) == contents(full.path)
    assert (copy.path, copy.size, copy.studies) == (target, target.stat().st_size, 1)
    assert copy.stages == copy.results == len(made_plan().stages)
    assert steps[-1] == (full.path.stat().st_size, full.path.stat().st_size)
    assert [path.name for path in target.parent.iterdir()] == ["copy.duckdb"]


def test_a_file_is_replaced_only_with_force(full: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"
    target.write_text("mine")
    with pytest.raises(BackupError, match="--force"):
        backups.backup(full, target)
    assert target.read_text() == "mine"
    backups.backup(full, target, force=True)
    assert backups.inspect(target).studies == 1
    with pytest.raises(BackupError, match="the database itself"):
        backups.backup(full, full.path, force=True)


def write_and_die(path: Path) -> None:
    database = Database(path)
    with database.writing() as connection:
        connection.execute("INSERT INTO views VALUES ('v', 'from the log', '', now()::TIMESTAMP)")
        connection.execute("COMMIT")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_backup_holds_the_write_ahead_log_of_a_killed_writer(full: Database, tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(full.path,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert full.path.with_name(f"{full.path.name}.wal").exists()
    target = tmp_path / "copy.duckdb"
    backups.backup(full, target)
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute("SELECT name FROM views").fetchall() == [("from the log",)]
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.duckdb"]
    # The log is not replayed into a database that is restored in this one's place.
    with full.writing() as connection:
        connection.execute("DELETE FROM views")
    before = backups.restore(full, target)
    assert before is not None
    with duckdb.connect(str(before), read_only=True) as connection:
        assert connection.execute("SELECT name FROM views").fetchall() == []
    with full.reading() as connection:
        assert connection.execute("SELECT name FROM views").fetchall() == [("from the log",)]


def test_a_full_disk_is_an_error_and_leaves_no_file(full: Database, tmp_path: Path) -> None:
    # A limit on the size of files makes writing fail as a full disk does.
    script = f"""
import resource, sys
from pathlib import Path
from data.database import backup
from data.database.database import Database
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    backup.backup(Database(Path({str(full.path)!r})), Path({str(tmp_path / "copy.duckdb")!r}))
except backup.BackupError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "no room for" in ended.stdout
    assert not list(tmp_path.glob("*copy*"))


def test_a_file_that_is_no_backup_is_refused_and_the_database_is_unchanged(full: Database, tmp_path: Path) -> None:
    before = full.path.read_bytes()
    newer, other, none, empty = (tmp_path / f"{name}.duckdb" for name in ("newer", "other", "none", "empty"))
    backups.backup(full, newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE recipes (title VARCHAR)")
    duckdb.connect(str(empty)).close()
    none.write_bytes(b"no database at all" * 1000)
    messages = {
        newer: "has version 999",
        other: "recipes",
        none: "does not open",
        empty: "empty",
        tmp_path / "x": "no backup",
    }
    for path, message in messages.items():
        with pytest.raises(BackupError, match=message):
            backups.restore(full, path)
    assert full.path.read_bytes() == before
    assert not list(full.path.parent.glob("*before*"))


def test_a_restored_backup_is_migrated_and_the_replaced_database_is_saved(full: Database, tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    with duckdb.connect(str(old)) as connection:
        connection.execute(FIRST.read_text())
        connection.execute("INSERT INTO residuals VALUES ('f', 1, 0.5)")
    replaced = backups.restore(full, old)
    assert replaced is not None
    assert studies.study(Database(replaced), STUDY_ID).state == "done"
    assert studies.studies(full).empty
    with full.reading() as connection:
        assert version(connection) > 1
        assert connection.execute("FROM residuals").fetchall() == [("f", 1, 0.5)]
    with duckdb.connect(str(old), read_only=True) as connection:
        assert version(connection) == 1
    second = backups.restore(full, replaced)
    assert second not in (None, replaced)
    assert studies.study(full, STUDY_ID).state == "done"


def test_a_damaged_or_absent_database_can_be_restored(full: Database, tmp_path: Path) -> None:
    good = tmp_path / "good.duckdb"
    backups.backup(full, good)
    full.path.write_bytes(b"damaged" * 1000)
    full.path.with_name(f"{full.path.name}.wal").write_bytes(b"left over")
    replaced = backups.restore(full, good)
    assert replaced is not None
    assert replaced.read_bytes() == b"damaged" * 1000
    assert contents(full.path) == contents(good)
    elsewhere = Database(tmp_path / "new home" / "ticketscope.duckdb")
    assert backups.restore(elsewhere, good) is None
    assert contents(elsewhere.path) == contents(good)
