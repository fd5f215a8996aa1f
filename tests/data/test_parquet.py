from pathlib import Path

import pyarrow.parquet as pq

from data import parquet
from data.database.database import Database
from engine.claims import CLAIMS
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results, whole_study


def test_results_and_database_give_the_same_tables(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    direct = parquet.tables_from_results(planned, made_results(planned))
    stored = parquet.tables_from_database(database, STUDY_ID)
    assert direct.keys() == stored.keys() == {"accuracy", "overlap", "epochs", "claims"}
    for name, table in direct.items():
        assert table.num_rows > 0
        assert table.equals(stored[name], check_metadata=False), name


def test_tables_of_an_unfinished_study_hold_its_finished_stages(database: Database) -> None:
    planned = made_plan()
    some = dict(list(made_results(planned).items())[:5])
    stream = Stream()
    database.record([stream.launched(planned), *(event for result in some.values() for event in stream.life(result))])
    direct, stored = parquet.tables_from_results(planned, some), parquet.tables_from_database(database, STUDY_ID)
    assert all(table.equals(stored[name], check_metadata=False) for name, table in direct.items())
    assert set(stored["accuracy"]["fingerprint"].to_pylist()) == set(some)


def test_files_describe_their_columns(tmp_path: Path) -> None:
    planned = made_plan()
    paths = parquet.write(parquet.tables_from_results(planned, made_results(planned)), tmp_path / "out")
    assert sorted(path.name for path in paths) == [
        "accuracy.parquet",
        "claims.parquet",
        "epochs.parquet",
        "overlap.parquet",
    ]
    for path in paths:
        for field in pq.read_schema(path):
            assert field.metadata[b"description"]
    assert not list((tmp_path / "out").glob(".*"))


def test_the_claims_table_holds_every_claim_once_per_scope() -> None:
    planned = made_plan()
    claims = parquet.tables_from_results(planned, made_results(planned))["claims"].to_pandas()
    assert set(claims["id"]) == set(CLAIMS)
    assert not claims.duplicated(["id", "scope"]).any()
    # Two seeds are too few for any verdict, and some claims lack runs.
    assert set(claims["verdict"]) == {"undecided", "missing"}
    assert claims["scope"].str.startswith("digits · lenet300").all()


def test_the_claims_table_has_the_lines_at_other_learning_rates() -> None:
    planned = made_plan(learning_rates=[0.01, 0.05, 0.1])
    claims = parquet.tables_from_results(planned, made_results(planned))["claims"].to_pandas()
    others = claims[claims["at_another_rate"]]
    assert len(others)
    assert others["scope"].str.contains("0.05").all()
    assert not claims.duplicated(["id", "scope"]).any()
    two = made_plan()
    assert not parquet.tables_from_results(two, made_results(two))["claims"].to_pandas()["at_another_rate"].any()


def test_no_results_give_empty_tables() -> None:
    planned = made_plan()
    empty = parquet.tables_from_results(planned, {})
    assert {name: table.num_rows for name, table in empty.items()} == dict.fromkeys(parquet.SCHEMAS, 0)
