"""A chart's numbers and the names of its files."""

from io import BytesIO

import pandas as pd
import pyarrow.parquet as pq

from app.charts import accuracy
from app.charts.chart import Chart, Subject, csv, file_name, parquet
from app.charts.points import summarise
from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy
from engine.study.spec import Study
from tests.app.made_study import record

ID = "made-study-0001"
HOSTILE = "</script><script>alert(1)</script>"


def panel(database: Database, study: Study) -> Chart:
    """Return a panel of the Accuracy tab."""
    record(database, study)
    rows = points.accuracy(database, OneStudy(ID))
    first = accuracy.panels(rows, "test_accuracy", "sd")[0]
    return accuracy.chart(Subject(ID, study.name, "digits", "lenet300"), first, accuracy.View((0, 100)))


def test_numbers_of_a_panel_are_those_of_the_database(database: Database, study: Study) -> None:
    chart = panel(database, study)
    rows = points.accuracy(database, OneStudy(ID))
    rows = rows[(rows["learning_rate"] == 0.01) & ((rows["pruner"] == "iterative") | (rows["start"] == "dense"))]
    expected = summarise(rows, "test_accuracy", ["start", "sparsity"], "sd").set_index(["start", "sparsity"])
    for content in (csv, parquet):
        file = BytesIO(content(chart.numbers()))
        saved = pd.read_csv(file) if content is csv else pq.read_table(file).to_pandas()
        assert len(saved) == len(expected) == 1 + 2 * 4
        saved = saved.set_index(["start", "sparsity"])[["mean", "sd", "low", "high", "n"]]
        pd.testing.assert_frame_equal(saved.loc[expected.index], expected, check_dtype=False, rtol=1e-14)


def test_file_names_contain_no_path() -> None:
    assert file_name("a", "folder:/etc/../x y", 0.1) == "a-folder-etc-..-x-y-0.1"
    assert "/" not in file_name(HOSTILE)
