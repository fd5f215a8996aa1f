"""By what, on what and when a study was trained."""

from datetime import UTC, timedelta
from pathlib import Path

from data.database.database import Database
from data.queries.provenance import provenance
from engine.study.spec import parse_study
from tests.app.made_study import BEGAN, record

STUDY = {"name": "A", "datasets": ["digits"], "networks": ["lenet300"], "sparsities": [0.5], "seeds": [0]}


def made(tmp_path: Path) -> Database:
    store = Database(tmp_path / "ticketscope.duckdb")
    store.ensure()
    return store


def test_runs_of_one_make_are_one_row_with_their_time(tmp_path: Path) -> None:
    store = made(tmp_path)
    stages = len(record(store, parse_study(STUDY), reused=2).stages)
    (row,) = provenance(store, "made-study-0001").itertuples()
    assert (row.device, row.versions) == ("cpu", "engine 1, python 3.11.7, torch 2.13.0")
    assert (row.stages, row.reused) == (stages, 2)
    assert row.seconds > 0
    assert row.began == BEGAN
    assert row.ended == BEGAN + timedelta(seconds=stages + 1)
    assert row.began.tzinfo is UTC or row.began.utcoffset() == timedelta(0)


def test_only_results_of_the_study_count(tmp_path: Path) -> None:
    store = made(tmp_path)
    one = len(record(store, parse_study(STUDY)).stages)
    other = parse_study({**STUDY, "name": "B", "seeds": [0, 1]})
    record(store, other, lambda index, stage: "waiting", study_id="made-study-0002")
    found = provenance(store, "made-study-0002")
    assert found["stages"].sum() == one
    assert provenance(store, "made-study-0001")["stages"].sum() == one


def test_nothing_trained_is_no_row(tmp_path: Path) -> None:
    store = made(tmp_path)
    record(store, parse_study(STUDY), lambda index, stage: "queued")
    assert provenance(store, "made-study-0001").empty
    assert provenance(store, "gone").empty
