"""Exported files: no name in a study decides where a file is written."""

import re
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from app.charts.chart import file_name
from app.export.zip import everything
from data.database.database import Database
from tests.app.made_study import record
from tests.machine import tiny_study

SAFE = re.compile(r"[A-Za-z0-9_.-]+")


@pytest.mark.parametrize(
    "part",
    [
        "../../etc/passwd",
        "/etc",
        "..",
        ".",
        "a\0b",
        "a\r\nContent-Type: text/html",
        "نص",
        "\u202egpj.exe",
        "x" * 10_000,
        '"; x="',
    ],
    ids=ascii,
)
def test_a_file_name_is_one_plain_word(part: str) -> None:
    for name in (file_name("study", part, "chart"), file_name("study", f"folder:/data/{part}")):
        assert SAFE.fullmatch(name)
        assert not name.startswith(".")
        assert len(name) < 200


def test_a_zip_holds_files_in_the_folder_of_its_study_alone(tmp_path: Path) -> None:
    database = Database(tmp_path / "ticketscope.duckdb")
    database.ensure()
    hostile = tiny_study(
        name="../../etc/cron.d/x",
        note="../" * 50,
        datasets=["folder:/data/../../etc", 'folder:/"quoted" name'],
        pruners=["oneshot"],
        sparsities=[0.5],
    )
    record(database, hostile, study_id="study-1")
    with zipfile.ZipFile(BytesIO(everything(database, "study-1"))) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
    assert len(names) == len(set(names)) > 10
    for name in names:
        folder, *rest = name.split("/")
        assert folder == "study-1"
        assert 1 <= len(rest) <= 2
        assert all(SAFE.fullmatch(part) and part.strip(".") for part in rest)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.txt",
        "out",
        "ticketscope.duckdb",
        *sorted(path.name for path in tmp_path.glob("ticketscope.duckdb.*")),
    ]
