import math

import pandas as pd
import pytest

from data.database.database import Database
from data.parquet import tables_from_database, tables_from_results
from data.queries import points as queries
from data.queries.evidence import evidence, from_frames
from data.queries.selection import OneStudy, Roles, Studies
from data.queries.studies import UnknownStudy
from engine.claims import evaluate
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results, whole_study


def frames(database: Database) -> tuple[pd.DataFrame, pd.DataFrame]:
    database.record(whole_study(Stream(), made_plan()))
    return queries.accuracy(database, OneStudy(STUDY_ID)), queries.pooled_overlaps(database, OneStudy(STUDY_ID))


def test_every_role_of_a_study_is_a_point(database: Database) -> None:
    accuracy, pooled = frames(database)
    points, overlaps = evidence(database, STUDY_ID)
    assert len(points) == len(accuracy) == len(made_plan().roles)
    assert len(overlaps) == len(pooled)
    dense = [point for point in points if point.start == "dense"]
    assert {point.pruner for point in dense} == {None}
    # A training that two pruners share has a point for each of them.
    assert len({point.training for point in points}) < len(points)


def test_an_unrecorded_study_is_unknown(database: Database) -> None:
    database.ensure()
    with pytest.raises(UnknownStudy, match="ticketscope status"):
        evidence(database, "gone")


def test_rows_may_be_in_any_order_and_occur_twice(database: Database) -> None:
    accuracy, pooled = frames(database)
    expected = evaluate(*from_frames(accuracy, pooled))
    mixed = [pd.concat([frame, frame.head(7)]).sample(frac=1, random_state=3) for frame in (accuracy, pooled)]
    points, overlaps = from_frames(*mixed)
    assert (len(points), len(overlaps)) == (len(accuracy), len(pooled))
    assert evaluate(points, overlaps) == expected


def test_missing_numbers_stay_missing(database: Database) -> None:
    accuracy, pooled = frames(database)
    accuracy.loc[0, "test_accuracy"] = math.nan
    pooled.loc[0, "ratio"] = math.nan
    points, overlaps = from_frames(accuracy, pooled)
    assert math.isnan(points[0].accuracy)
    assert math.isnan(overlaps[0].ratio)


def test_a_study_without_results_has_no_evidence(database: Database) -> None:
    database.record([Stream().launched(made_plan())])
    assert evidence(database, STUDY_ID) == ([], [])


def test_every_source_of_evidence_has_the_moved_fraction_of_admm_masks(database: Database) -> None:
    planned = made_plan(pruners=["oneshot", "admm"], learning_rates=[0.1], seeds=[0])
    database.record(whole_study(Stream(), planned))
    results = made_results(planned)
    expected = {}
    for role in planned.roles:
        parent = planned.stages[role.fingerprint].parent
        support = results[parent].support if parent else None
        expected[role.pruner, role.sparsity, role.start] = None if support is None else support.fraction
    assert any(moved is not None for moved in expected.values())
    frames = (
        queries.accuracy(database, OneStudy(STUDY_ID)),
        queries.accuracy(database, Roles(planned.roles)),
        queries.accuracy(database, Studies([STUDY_ID])),
        tables_from_results(planned, results)["accuracy"].to_pandas(),
        tables_from_database(database, STUDY_ID)["accuracy"].to_pandas(),
    )
    for frame in frames:
        points, _ = from_frames(frame, queries.pooled_overlaps(database, OneStudy(STUDY_ID)))
        assert {(p.pruner, p.sparsity, p.start): p.moved for p in points} == expected
