"""The zip of a study."""

import tomllib
import zipfile
from io import BytesIO

import pandas as pd
import pyarrow.parquet as pq

from app.export.zip import everything
from data import parquet as tables
from data.database.database import Database
from engine.study.spec import Study, parse_study
from tests.app.made_study import record

ID = "made-study-0001"


def test_the_zip_contains_the_files_that_its_readme_lists(database: Database, study: Study) -> None:
    study = study.model_copy(update={"pruners": ("iterative",), "learning_rates": (0.1,)})
    record(database, study)
    steps: list[float] = []
    with zipfile.ZipFile(BytesIO(everything(database, ID, lambda done, what: steps.append(done)))) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
        assert parse_study(tomllib.loads(archive.read(f"{ID}/study.toml").decode())) == study
        readme = archive.read(f"{ID}/README.txt").decode()
        assert "ticketscope run study.toml --out DIR" in readme
        for name, table in tables.tables_from_database(database, ID).items():
            assert name in readme
            assert pq.read_table(BytesIO(archive.read(f"{ID}/tables/{name}.parquet"))).equals(table)
            assert len(pd.read_csv(BytesIO(archive.read(f"{ID}/tables/{name}.csv")))) == table.num_rows
        assert archive.read(f"{ID}/report.html").startswith(b"<!doctype html>")
    assert all(name.startswith(f"{ID}/") and ".." not in name for name in names)
    endings = [name.rsplit(".", 1)[1] for name in names if "/charts/" in name]
    assert endings.count("svg") == endings.count("png") == endings.count("csv") == 3 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1
    assert steps == sorted(steps)
    assert steps[-1] < 1


def test_a_study_without_results_has_a_zip(database: Database, study: Study) -> None:
    record(database, study, lambda index, stage: "queued")
    with zipfile.ZipFile(BytesIO(everything(database, ID))) as archive:
        assert not [name for name in archive.namelist() if "/charts/" in name]
