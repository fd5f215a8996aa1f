import pandas as pd
import pytest

from app.charts import retention as charts
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import OneStudy, Studies
from engine.study.spec import Study
from tests.app.charts.test_accuracy import data, layers
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def rows(database: Database, study: Study) -> pd.DataFrame:
    record(database, study)
    return queries.retention(database, Studies([ID]))


@pytest.fixture
def pooled(database: Database, study: Study) -> pd.DataFrame:
    record(database, study)
    return queries.pooled_overlaps(database, OneStudy(ID))


def test_overlap_by_p_has_a_line_per_learning_rate_and_the_chance_line(pooled: pd.DataFrame) -> None:
    chart = charts.draw_by_p(pooled, (0.1, 0.01), "sd")
    (points,) = layers(chart, "point")
    means = data(chart, points)
    assert sorted(means["name"].unique()) == ["learning rate 0.01", "learning rate 0.1"]
    assert (means["n"] == 3).all()
    chance = data(chart, layers(chart, "line")[0])
    assert (chance["x"] == chance["y"]).all()
    rows = pooled[(pooled["pair"] == "initial_pretrained") & (pooled["learning_rate"] == 0.1) & (pooled["p"] == 0.2)]
    row = means[(means["name"] == "learning rate 0.1") & (means["p"] == 0.2)].iloc[0]
    assert row["mean"] == pytest.approx(rows["ratio"].mean())


def test_a_learning_rate_keeps_its_colour_while_others_are_missing(pooled: pd.DataFrame) -> None:
    high_rate = charts.draw_by_p(pooled[pooled["learning_rate"] == 0.1], (0.01, 0.1), "sd")
    both_rates = charts.draw_by_p(pooled, (0.01, 0.1), "sd")
    assert layers(high_rate, "point")[0]["encoding"]["color"] == layers(both_rates, "point")[0]["encoding"]["color"]


@pytest.mark.parametrize("time", ["linear", "log"])
def test_overlap_over_time_has_a_line_per_learning_rate_with_n_and_chance(rows: pd.DataFrame, time: str) -> None:
    chart = charts.draw_over_time(rows, (0.1, 0.01), 0.2, "se", time)
    (points,) = layers(chart, "point")
    means = data(chart, points)
    assert set(means["name"]) == {"learning rate 0.01", "learning rate 0.1"}
    assert (means["n"] == 3).all()
    assert sorted(means["epoch"].unique()) == sorted(rows["epoch"].unique())
    assert points["encoding"]["x"]["scale"]["type"] == time
    (chance,) = layers(chart, "rule")
    assert data(chart, chance)["chance"].tolist() == [0.2]
    expected = rows[(rows["learning_rate"] == 0.1) & (rows["p"] == 0.2) & (rows["epoch"] == 4)]["ratio"].mean()
    last = means[(means["name"] == "learning rate 0.1") & (means["epoch"] == 4)]["mean"]
    assert last.tolist() == pytest.approx([expected])


def test_trainings_without_recorded_retention_are_counted(rows: pd.DataFrame) -> None:
    dense = rows[["fingerprint"]].drop_duplicates()
    assert charts.unmeasured(dense, rows) == ""
    without_first = rows[rows["fingerprint"] != dense["fingerprint"].iloc[0]]
    assert charts.unmeasured(dense, without_first).startswith("1 dense training was recorded without this")
    assert charts.unmeasured(dense, rows.head(0)).startswith("6 dense trainings were recorded without this")
