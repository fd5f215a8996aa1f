import pandas as pd
import pytest

from app.charts import overlap as charts
from app.charts.palette import STARTS
from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import OneStudy
from engine.study.results import AGAINST_DENSE
from tests.app.charts.test_accuracy import data, layers
from tests.app.made_study import LAYERS

ID = "made-study-0001"


@pytest.fixture
def pooled(recorded: Database) -> pd.DataFrame:
    return queries.pooled_overlaps(recorded, OneStudy(ID))


def test_starts_are_drawn_in_their_own_colours_with_chance_at_p(pooled: pd.DataFrame) -> None:
    rows = pooled[(pooled["pruner"] == "oneshot") & (pooled["learning_rate"] == 0.01)]
    chart = charts.draw_starts(rows, 0.3, "range")
    (points,) = layers(chart, "point")
    assert points["encoding"]["color"]["scale"]["range"] == [STARTS["winning_ticket"].colour, STARTS["reinit"].colour]
    assert (data(chart, layers(chart, "line")[0])["y"] == 0.3).all()
    assert len(data(chart, points)) == 2 * 2
    assert points["encoding"]["y"]["title"] == "overlap ratio R_p, p = 0.3"


@pytest.mark.parametrize(("across", "columns"), [("p", 5), ("learning_rate", 2)])
def test_the_heat_map_has_layers_in_network_order(recorded: Database, across: str, columns: int) -> None:
    rows = queries.overlaps(recorded, OneStudy(ID), ["initial_pretrained"])
    rows = rows[rows["learning_rate"] == 0.01] if across == "p" else rows[rows["p"] == 0.2]
    chart = charts.draw_layers(rows, across)
    (cells,) = layers(chart, "rect")
    assert cells["encoding"]["y"]["sort"] == list(LAYERS)
    assert len(data(chart, cells)) == len(LAYERS) * columns
    assert cells["encoding"]["color"]["scale"]["domain"] == [0, 1]


def test_the_csv_contains_chance_and_n(pooled: pd.DataFrame) -> None:
    numbers = charts.numbers(pooled)
    assert (numbers["chance"] == numbers["p"]).all()
    assert (numbers["n"] == 3).all()


def test_the_csv_contains_the_level_of_the_mask_alone_against_dense_networks(pooled: pd.DataFrame) -> None:
    numbers = charts.numbers(pooled)
    against_dense = numbers["pair"].isin(AGAINST_DENSE)
    assert (numbers["level_n"] == 3 * against_dense).all()
    assert (numbers["level_mean"].notna() == against_dense).all()
    against_trained = numbers[(numbers["pair"] == "finetuned_pretrained") & (numbers["sparsity"] == 0.5)]
    assert list(against_trained["level_mean"]) == pytest.approx(list((2 * against_trained["p"]).clip(upper=1)))
