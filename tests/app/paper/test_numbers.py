import pandas as pd
import pytest

from app.paper import numbers
from app.state.queries import accuracy, pooled_overlaps
from data.database.database import Database
from engine.paper import figures, studies
from engine.paper.figures import FIGURES, REPORTED
from tests.app.made_study import record

STUDY = "made-study-0001"


@pytest.fixture
def frames(database: Database) -> tuple[pd.DataFrame, pd.DataFrame]:
    record(database, studies.study("all", "small"))
    return accuracy(STUDY), pooled_overlaps(STUDY)


def test_our_value_of_a_stated_number_is_the_mean_of_its_runs(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    dense = next(number for number in REPORTED if number.start == "dense" and number.learning_rate == 0.1)
    ours = numbers.ours(dense, *frames, "small", None)
    rows = frames[0][(frames[0]["start"] == "dense") & (frames[0]["learning_rate"] == 0.1)]
    assert ours.mean == pytest.approx(rows["test_accuracy"].mean())
    assert ours.n == 3
    overlap = next(number for number in REPORTED if number.quantity == "finetuned_pretrained")
    ours = numbers.ours(overlap, *frames, "small", None)
    assert 50 < ours.mean < 100
    empty = numbers.ours(overlap, frames[0][:0], frames[1][:0], "small", None)
    assert (empty.mean, empty.n) == (None, 0)


def test_a_cell_of_the_papers_table_without_runs_is_a_dash() -> None:
    nothing = pd.DataFrame()
    table = numbers.as_in_paper(figures.reported(FIGURES["table1"]), nothing, nothing, "small", None)
    assert len(table) == 1
    on_cifar = numbers.as_in_paper(figures.reported(FIGURES["table1"]), nothing, nothing, "paper", None)
    assert len(on_cifar) == 5
    assert "stands for" not in on_cifar
    assert set(table[numbers.ANCESTORS["finetuned_initial"]]) == {"—"}
