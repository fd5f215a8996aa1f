"""Trainings that diverged are recorded and described, and are part of no mean."""

import math
from dataclasses import replace

import duckdb
import pandas as pd
import pytest

from data import parquet
from data.database import schema
from data.database.database import Database
from data.database.events import Event, EventError, parse
from data.queries import points as queries
from data.queries import results, studies
from data.queries.divergence import divergences, in_words
from data.queries.evidence import evidence
from data.queries.selection import OneStudy, Roles, Studies
from data.queries.studies import UnknownStudy
from engine.claims import evaluate
from engine.study.plan import Plan
from tests.data.database.test_schema import VERSIONS
from tests.data.made_results import STUDY_ID, Stream, diverging_results, made_plan, whole_study


@pytest.fixture
def planned(database: Database) -> Plan:
    """A recorded study whose trainings at learning rate 0.1 diverged."""
    planned = made_plan()
    database.record(whole_study(Stream(), planned, results=diverging_results(planned)))
    return planned


def test_a_study_with_a_diverged_rate_is_done(database: Database, planned: Plan) -> None:
    record = studies.study(database, STUDY_ID)
    assert (record.state, record.counts["done"]) == ("done", len(planned.stages))
    rows = studies.stages(database, STUDY_ID).set_index("fingerprint")
    for fingerprint, stage in planned.stages.items():
        at = rows.loc[fingerprint, "diverged"]
        if stage.learning_rate == 0.1:
            assert at == (2 if stage.kind == "pretrain" else 0)
        else:
            assert pd.isna(at)
    assert results.recorded(database) == set(planned.stages)


def test_accuracy_leaves_out_diverged_runs_and_diverged_lists_them(database: Database, planned: Plan) -> None:
    for rows in (
        queries.accuracy(database, OneStudy(STUDY_ID)),
        queries.accuracy(database, Studies([STUDY_ID])),
        queries.accuracy(database, Roles(planned.roles)),
    ):
        assert set(rows["learning_rate"]) == {0.01}
        assert len(rows) == len(planned.roles) / 2
        assert rows["test_accuracy"].notna().all()
    for rows in (queries.diverged(database, OneStudy(STUDY_ID)), queries.diverged(database, Roles(planned.roles))):
        assert set(rows["learning_rate"]) == {0.1}
        assert len(rows) == len(planned.roles) / 2
        assert set(rows[rows["start"] == "dense"]["diverged"]) == {2}
        assert set(rows[rows["start"] != "dense"]["diverged"]) == {0}
        assert list(rows["epochs"]) == [1 if start == "dense" else 0 for start in rows["start"]]


def test_speeds_ignore_stages_that_were_not_trained(database: Database, planned: Plan) -> None:
    del planned
    speeds = results.speeds(database)
    assert speeds["seconds_per_epoch"].between(0.1, 10).all()


def test_results_and_database_give_the_same_tables(database: Database, planned: Plan) -> None:
    direct = parquet.tables_from_results(planned, diverging_results(planned))
    stored = parquet.tables_from_database(database, STUDY_ID)
    for name, table in direct.items():
        assert table.num_rows > 0
        assert table.equals(stored[name], check_metadata=False), name
    rows = stored["accuracy"].to_pandas()
    assert len(rows) == len(planned.roles)
    diverged = rows["learning_rate"] == 0.1
    scores = [
        "test_accuracy",
        "test_loss",
        "best_test_accuracy",
        "best_test_loss",
        "best_epoch",
        "measured_sparsity",
    ]
    assert rows[diverged][scores].isna().all(axis=None)
    assert rows[~diverged][scores].notna().all(axis=None)
    assert rows["diverged_epoch"].notna().equals(diverged)
    # The table of epochs has the finite ones: one of each dense network.
    assert list(stored["epochs"].to_pandas().query("learning_rate == 0.1")["epoch"]) == [1, 1]


def test_a_study_that_diverged_altogether_has_tables_too(database: Database) -> None:
    planned = made_plan(learning_rates=[0.1])
    database.record(whole_study(Stream(), planned, results=diverging_results(planned, after=1)))
    direct = parquet.tables_from_results(planned, diverging_results(planned, after=1))
    stored = parquet.tables_from_database(database, STUDY_ID)
    assert all(table.equals(stored[name], check_metadata=False) for name, table in direct.items())
    assert (stored["accuracy"].num_rows, stored["epochs"].num_rows) == (len(planned.roles), 0)


def test_verdicts_state_how_many_seeds_diverged_and_count_none_of_them(database: Database, planned: Plan) -> None:
    del planned
    points, _ = evidence(database, STUDY_ID)
    assert {point.learning_rate for point in points if math.isnan(point.accuracy)} == {0.1}
    for claim in ("A2", "A3", "G1"):
        for verdict in evaluate(*evidence(database, STUDY_ID), claims=[claim]):
            assert (verdict.outcome, verdict.n) == ("undecided", 0)
            assert "2 of 2 seeds have no finite value" in verdict.reason


def test_divergences_are_described_in_one_sentence(database: Database, planned: Plan) -> None:
    rows = divergences(database, [STUDY_ID])
    others = sum(stage.learning_rate == 0.1 for stage in planned.stages.values()) - 2
    assert in_words(rows) == (
        f"2 trainings diverged and {others} made from them could not begin: "
        "lenet300 on digits, learning rate 0.1, seeds 0 and 1."
    )
    dense = rows[rows["kind"] == "pretrain"]
    assert in_words(dense.head(1)) == "1 training diverged: lenet300 on digits, learning rate 0.1, seed 1."
    assert in_words(dense.head(0)) == ""
    template = dense.head(1).merge(dense[["network"]].head(1).assign(s=0), on="network")
    for seeds, text in (
        ([0, 1, 2, 3], "seeds 0–3"),
        ([0, 2, 3, 4, 9], "seeds 0, 2–4 and 9"),
        ([7, 5], "seeds 5 and 7"),
    ):
        several = template.loc[template.index.repeat(len(seeds))].assign(
            seed=seeds, fingerprint=[f"{seed:032d}" for seed in seeds]
        )
        assert in_words(several).endswith(f"learning rate 0.1, {text}.")


def test_a_long_list_of_divergences_is_shortened(database: Database, planned: Plan) -> None:
    del planned
    rows = divergences(database, [STUDY_ID]).head(1)
    rates = [0.1 * step for step in range(1, 10)]
    several = rows.loc[rows.index.repeat(9)].assign(learning_rate=rates, fingerprint=[f"{rate}" for rate in rates])
    assert in_words(several).count("learning rate") == 6
    assert in_words(several).endswith("; and 3 more.")


def test_a_divergence_that_studies_share_counts_once(database: Database, planned: Plan) -> None:
    database.record([Stream().launched(planned, "other")])
    alone, both = divergences(database, [STUDY_ID]), divergences(database, [STUDY_ID, "other"])
    assert in_words(alone) == in_words(both)
    with pytest.raises(UnknownStudy):
        divergences(database, [STUDY_ID, "gone"])


@pytest.mark.parametrize(("at", "epochs"), [(3, 3), (1, 1), (0, 1)])
def test_a_result_whose_epochs_do_not_fit_is_refused(at: int, epochs: int) -> None:
    planned = made_plan()
    result = next(iter(diverging_results(planned, after=4).values()))
    body = replace(result, diverged=at, epochs=result.epochs[:epochs]).to_json()
    with pytest.raises(EventError, match=f"diverged in epoch {at}"):
        parse(Event("1-1", "result", {"fingerprint": result.fingerprint, "result": body}))


def test_a_result_without_epochs_that_did_not_diverge_is_refused() -> None:
    result = next(iter(diverging_results(made_plan()).values()))
    body = replace(result, diverged=None, epochs=()).to_json()
    with pytest.raises(EventError, match="has no epochs"):
        parse(Event("1-1", "result", {"fingerprint": result.fingerprint, "result": body}))


@pytest.mark.parametrize("earlier", VERSIONS[:2], ids=lambda path: path.stem)
def test_results_from_before_divergence_was_recorded_count_as_trained(earlier, database: Database) -> None:
    database.path.parent.mkdir(parents=True)
    with duckdb.connect(str(database.path)) as connection:
        connection.execute(earlier.read_text())
        connection.execute("INSERT INTO results VALUES ('f', 0.5, 9, 'cpu', '{}', 3, 90, 0.1, 91, 0.2, 2)")
    planned = made_plan()
    # The migrated file holds diverged results too, and records each result once.
    database.record(whole_study(Stream(), planned, results=diverging_results(planned)))
    database.record(whole_study(Stream(), planned, results=diverging_results(planned)))
    with database.reading() as connection:
        assert schema.version(connection) >= 3
        (old,) = connection.execute("SELECT test_accuracy, diverged FROM results WHERE fingerprint = 'f'").fetchall()
        assert old == (90.0, None)
        counts = connection.execute("SELECT count(*), count(diverged), count(test_accuracy) FROM results").fetchone()
    assert counts == (len(planned.stages) + 1, len(planned.stages) // 2, len(planned.stages) // 2 + 1)
