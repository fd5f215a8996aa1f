"""An attached file is shared by readers, closed after use, and the only file that its queries reach."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import duckdb
import pytest

from data.database.attached import attached


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one table, in a folder whose name has a quote."""
    folder = tmp_path / "o'brien"
    folder.mkdir()
    with attached(folder / "some.duckdb", read_only=False) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT 1 AS number")
    return folder / "some.duckdb"


def numbers(file: Path) -> list[int]:
    with attached(file, read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY ALL").fetchall()]


def write_elsewhere(file: Path) -> str:
    """Write the file from another process, and return its error."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('INSERT INTO numbers VALUES (2)')"
    return subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=False).stderr


def test_the_file_is_held_within_the_block_alone(file: Path) -> None:
    with attached(file, read_only=True):
        assert "lock" in write_elsewhere(file)
    assert "Error" not in write_elsewhere(file)
    assert numbers(file) == [1, 2]
    assert [path.name for path in file.parent.iterdir()] == ["some.duckdb"]


def test_threads_read_at_the_same_time(file: Path) -> None:
    together = Barrier(4, timeout=20)

    def read(_: int) -> list[int]:
        with attached(file, read_only=True) as connection:
            together.wait()
            rows = connection.execute("SELECT number FROM numbers").fetchall()
            together.wait()
        return [row[0] for row in rows]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [[1]] * 4
    assert "Error" not in write_elsewhere(file)


def test_what_is_not_committed_is_rolled_back(file: Path) -> None:
    with attached(file, read_only=False) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO numbers VALUES (3)")
    assert numbers(file) == [1]


def test_a_reader_cannot_write(file: Path) -> None:
    with attached(file, read_only=True) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("INSERT INTO numbers VALUES (3)")
    assert numbers(file) == [1]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{other}')",
        "SELECT * FROM '{other}'",
        "ATTACH '{other}'",
        "COPY numbers TO '{other}'",
        "SELECT * FROM local",
        "SET enable_external_access = true",
        "SET allowed_paths = ['{other}']",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_queries_reach_no_other_file_and_no_variable(file: Path, tmp_path: Path, query: str) -> None:
    other = tmp_path / "other.csv"
    other.write_text("number\n9\n", encoding="utf-8")
    local = duckdb.sql("SELECT 9").df()
    with attached(file, read_only=False) as connection, pytest.raises(duckdb.Error):
        connection.execute(query.format(other=other))
    assert len(local) == 1
    assert other.read_text(encoding="utf-8") == "number\n9\n"


def test_a_file_that_does_not_open_can_be_replaced(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(b"no database")
    with pytest.raises(duckdb.Error), attached(file, read_only=True):
        pass
    file.write_bytes(whole)
    assert numbers(file) == [1]


def test_what_does_not_fit_into_memory_is_written_beside_the_file(file: Path) -> None:
    beside = file.with_name("some.duckdb.tmp")
    with attached(file, read_only=False) as connection:
        connection.execute("SET memory_limit = '30MB'; SET threads = 1")
        connection.execute("CREATE TEMP TABLE large AS SELECT hash(range) AS number FROM range(6000000)")
        assert sum(path.stat().st_size for path in beside.iterdir()) > 10_000_000
        assert connection.execute("SELECT count(*) FROM large").fetchone() == (6_000_000,)
    assert numbers(file) == [1]
    # DuckDB leaves an empty file that marks the folder as in use.
    assert sum(path.stat().st_size for path in beside.iterdir()) == 0
