"""What a user adds in one place is shown wherever its kind is."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from app.charts.chart import Chart, Subject
from app.export.charts import CHARTS, Results
from app.export.report import FOLDER, report
from app.export.zip import everything
from data.database.database import Database
from data.settings import settings
from engine.study.spec import Study, parse_study
from tests.app.made_study import record

STUDY_ID = "made-study-0001"


def losses(subject: Subject, study: Study, own: Results) -> Iterator[Chart]:
    """A chart that a user adds: the losses of all trainings in a row."""
    del study
    rows = own.accuracy[["seed", "test_loss"]]
    encoding = {"x": {"field": "test_loss", "type": "quantitative"}}
    spec = {"data": {"values": rows.to_dict("records")}, "mark": "point", "encoding": encoding}
    title = "Losses of all trainings"
    yield Chart(subject.file_name("losses"), spec, title, f"{title}.", lambda: rows, (title,), subject.about())


def test_a_chart_that_is_added_is_in_the_report_and_the_zip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    study = parse_study(
        {
            "name": "Small study",
            "datasets": ["digits"],
            "networks": ["lenet300"],
            "pruners": [],
            "starts": [],
            "sparsities": [],
            "seeds": [0, 1],
            "recipe": {"epochs": 2},
        }
    )
    database = Database(settings().database)
    database.ensure()
    record(database, study)
    monkeypatch.setitem(CHARTS, "losses", losses)
    assert '"field":"test_loss"' in report(database, STUDY_ID)
    name = f"{STUDY_ID}/charts/{STUDY_ID}-losses-digits-lenet300"
    with zipfile.ZipFile(BytesIO(everything(database, STUDY_ID))) as archive:
        assert {f"{name}.svg", f"{name}.png"} <= set(archive.namelist())
        numbers = pd.read_csv(archive.open(f"{name}.csv"))
    assert list(numbers.columns) == ["seed", "test_loss"]
    assert len(numbers) == 2 * len(study.learning_rates)


def test_the_report_has_a_section_for_every_chart() -> None:
    template = (FOLDER / "report.html").read_text()
    lacking = [name for name in CHARTS if f"part.charts.{name}" not in template]
    assert not lacking, f"report.html has no section for the charts {lacking} of app.export.charts.CHARTS"
