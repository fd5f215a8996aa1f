"""Another program, such as a notebook, has the database's file open: who it is, and who waits for it."""

import os
import re
import signal
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data.database import backup, other_programs
from data.database.database import Database, DatabaseHeld
from tests.data.made_results import Stream, made_plan, whole_study
from tests.machine import notebook, wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new database."""
    Database(tmp_path / "studies.duckdb").ensure()
    return tmp_path / "studies.duckdb"


def _write(database: Database) -> None:
    with database.writing() as connection:
        connection.execute("UPDATE meta SET value = value")


def _read(database: Database) -> None:
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM studies").fetchone() == (0,)


def test_a_program_that_reads_keeps_writers_out_alone_and_is_named(path: Path) -> None:
    with notebook(path, read_only=True) as program:
        # Neither who had the file open before nor who opens it now needs to write to it.
        fresh = Database(path, patience=0.2)
        _read(fresh)
        with pytest.raises(DatabaseHeld) as caught:
            _write(fresh)
        _read(fresh)
    assert re.search(
        rf"python\S* analysis.py \(process {program.pid}, running since [0-9:]{{8}} on ", str(caught.value)
    ), caught.value
    assert "README.txt" in str(caught.value)
    assert str(path) not in str(caught.value)
    _write(Database(path, patience=5.0))


def test_a_program_that_writes_keeps_all_out(path: Path) -> None:
    with notebook(path, read_only=False) as program:
        for use in (_read, _write):
            with pytest.raises(DatabaseHeld, match=f"process {program.pid}"):
                use(Database(path, patience=0.2))


def test_a_stopped_program_is_called_so(path: Path) -> None:
    with notebook(path, read_only=False) as program:
        os.kill(program.pid, signal.SIGSTOP)
        wait_for(lambda: other_programs.psutil.Process(program.pid).status() == "stopped")
        with pytest.raises(DatabaseHeld, match=f"which is stopped: .* kill -CONT {program.pid}"):
            _read(Database(path, patience=0.0))


def test_who_waits_goes_on_once_the_file_is_closed_and_locks_nobody_out_meanwhile(path: Path) -> None:
    database, done = Database(path, patience=60.0), threading.Event()

    def write() -> None:
        _write(database)
        done.set()

    with notebook(path, read_only=True):
        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(20):
            _read(Database(path, patience=2.0))
        assert not done.is_set()
    assert done.wait(30)
    writer.join()


def test_after_a_wait_in_vain_nobody_waits_again_until_the_file_is_closed(path: Path) -> None:
    database = Database(path, patience=1.0)
    with notebook(path, read_only=False):
        with pytest.raises(DatabaseHeld):
            _read(database)
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(DatabaseHeld):
                _read(database)
        assert time.monotonic() - began < 1.0
    _read(database)


def test_a_backup_is_made_beside_a_reader_and_refused_beside_a_writer(path: Path, tmp_path: Path) -> None:
    Database(path).record(whole_study(Stream(), made_plan()))
    with notebook(path, read_only=True):
        assert backup.backup(Database(path), tmp_path / "copy.duckdb").studies == 1
    with notebook(path, read_only=False), pytest.raises(DatabaseHeld):
        backup.backup(Database(path, patience=0.1), tmp_path / "torn.duckdb")
    assert not list(tmp_path.glob("*torn*"))


def test_the_file_beside_the_database_says_how_to_read_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (tmp_path / "README.txt").read_text()
    Database(path).record(whole_study(Stream(), made_plan()))
    backup.backup(Database(path), tmp_path / "copy.duckdb")
    monkeypatch.chdir(tmp_path)
    # Other tests read with the package and with the command.
    _, _, _, *ways = re.split(r"^\d\. ", text, flags=re.MULTILINE)
    values: dict[str, Any] = {"duckdb": duckdb}
    for way in ways:
        code = re.findall(r"(?:^ {7}.*\n)+", way, re.MULTILINE)[-1]
        exec(textwrap.dedent(code), values)
    assert len(values["copy"].sql("FROM studies").fetchall()) == 1
    assert len(values["studies"]) == 1
    values["copy"].close()


def test_a_readme_of_somebody_else_stays_and_an_older_one_is_replaced(path: Path) -> None:
    readme = path.with_name("README.txt")
    latest = readme.read_text()
    readme.write_text("Ticketscope keeps its studies in a file.")
    Database(path).ensure()
    assert readme.read_text() == latest
    readme.write_text("Notes of mine")
    Database(path).ensure()
    assert readme.read_text() == "Notes of mine"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Resource temporarily unavailable", "another program, perhaps on another host"),
        ("Conflicting lock is held in /opt/tool (PID 2147483647). See also ...", "tool (process 2147483647)"),
    ],
)
def test_a_program_that_cannot_be_looked_up_is_described_as_far_as_duckdb_does(message: str, words: str) -> None:
    assert other_programs.holder(Exception(f'IO Error: Could not set lock on file "x": {message}')) == words


def test_other_errors_are_none_of_a_program() -> None:
    assert other_programs.holder(Exception("IO Error: disk full")) is None
