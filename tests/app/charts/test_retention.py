import pandas as pd
import pytest

from app.charts import retention as charts
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import Studies
from engine.study.spec import Study
from tests.app.charts.test_accuracy import data, layers
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def rows(store: Database, study: Study) -> pd.DataFrame:
    record(store, study)
    return queries.retention(store, Studies([ID]))


@pytest.mark.parametrize("time", ["linear", "log"])
def test_a_line_per_learning_rate_with_n_and_chance(rows: pd.DataFrame, time: str) -> None:
    drawn = charts.over_time(rows, (0.1, 0.01), 0.2, "se", time)
    (points,) = layers(drawn, "point")
    shown = data(drawn, points)
    assert set(shown["name"]) == {"learning rate 0.01", "learning rate 0.1"}
    assert (shown["n"] == 3).all()
    assert sorted(shown["epoch"].unique()) == sorted(rows["epoch"].unique())
    assert points["encoding"]["x"]["scale"]["type"] == time
    (chance,) = layers(drawn, "rule")
    assert data(drawn, chance)["chance"].tolist() == [0.2]
    one = rows[(rows["learning_rate"] == 0.1) & (rows["p"] == 0.2) & (rows["epoch"] == 4)]["ratio"].mean()
    last = shown[(shown["name"] == "learning rate 0.1") & (shown["epoch"] == 4)]["mean"]
    assert last.tolist() == pytest.approx([one])


def test_trainings_recorded_without_it_are_counted(rows: pd.DataFrame) -> None:
    dense = rows[["fingerprint"]].drop_duplicates()
    assert charts.without(dense, rows) == ""
    one = rows[rows["fingerprint"] != dense["fingerprint"].iloc[0]]
    assert charts.without(dense, one).startswith("1 dense training was recorded without this")
    assert charts.without(dense, rows.head(0)).startswith("6 dense trainings were recorded without this")
