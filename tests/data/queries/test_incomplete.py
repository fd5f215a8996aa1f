"""Earlier results without masks and levels are listed, completed once, and can be read as they are."""

import math
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from data import parquet
from data.database.database import Database
from data.database.events import EventError
from data.queries import points as queries
from data.queries.evidence import evidence
from data.queries.incomplete import incomplete
from data.queries.revision import results_revision, revision
from data.queries.selection import OneStudy, Roles, Studies
from engine.counts import pooled_level
from engine.study.results import AGAINST_DENSE, PAIRS, StageResult
from tests.data.made_results import (
    STUDY_ID,
    Stream,
    completion,
    contents,
    copy_into,
    diverging_results,
    made_plan,
    made_results,
    whole_study,
    without_masks,
)

MADE = made_plan(pruners=["iterative", "oneshot", "random"])
RESULTS = made_results(MADE)
OLD = {fingerprint: without_masks(result) for fingerprint, result in RESULTS.items()}
RETRAINED = {fingerprint for fingerprint, stage in MADE.stages.items() if stage.kind == "retrain"}


def completions(stream: Stream, results: dict[str, StageResult] = RESULTS) -> list:
    return [stream.event("completed", **completion(results[fingerprint])) for fingerprint in sorted(RETRAINED)]


@pytest.fixture
def old(tmp_path: Path) -> Database:
    """A database of version 3 with a study, as the Ticketscope of that version wrote it."""
    new, path = Database(tmp_path / "new.duckdb"), tmp_path / "earlier.duckdb"
    new.record(whole_study(Stream(), MADE, results=OLD))
    with duckdb.connect(str(path)) as connection:
        connection.execute((Path(__file__).parents[1] / "database" / "schemas" / "003.sql").read_text())
        connection.execute(f"ATTACH '{new.path}' AS recent (READ_ONLY)")
        copy_into(connection, "recent")
    return Database(path)


def test_an_earlier_database_is_read_and_lists_its_incomplete_results(old: Database) -> None:
    pooled = queries.pooled_overlaps(old, OneStudy(STUDY_ID))
    assert not pooled.empty
    assert pooled["level"].dtype == "float64"
    assert pooled["level"].isna().all()
    assert set(queries.accuracy(old, OneStudy(STUDY_ID))["mask"]) == {None}
    points, overlaps = evidence(old, STUDY_ID)
    assert {point.mask for point in points} == {None}
    assert {overlap.level for overlap in overlaps} == {None}
    assert parquet.tables_from_database(old, STUDY_ID)["overlap"]["expected"].null_count == len(
        parquet.tables_from_database(old, STUDY_ID)["overlap"]
    )
    direct, stored = parquet.tables_from_results(MADE, OLD), parquet.tables_from_database(old, STUDY_ID)
    assert all(table.equals(stored[name], check_metadata=False) for name, table in direct.items())
    assert {row.fingerprint for row in incomplete(old)} == RETRAINED
    assert all(MADE.stages[row.fingerprint].root == row.root and row.mask for row in incomplete(old))
    finetuned = {fingerprint for fingerprint in RETRAINED if MADE.stages[fingerprint].start == "finetune"}
    assert {row.fingerprint for row in incomplete(old) if row.levels} == finetuned


def test_a_completed_database_equals_one_with_complete_results(old: Database, tmp_path: Path) -> None:
    whole = Database(tmp_path / "whole.duckdb")
    whole.record(whole_study(Stream(), MADE))
    before = revision(old, STUDY_ID)
    assert old.record(completions(Stream())) == len(RETRAINED)
    # An older version recorded no order of launches.
    assert {**contents(old.path), "launches": []} == {**contents(whole.path), "launches": []}
    assert incomplete(old) == incomplete(whole) == []
    # Caches of the earlier results are no longer valid.
    assert revision(old, STUDY_ID).results != before.results
    assert results_revision(old, [STUDY_ID]) == results_revision(whole, [STUDY_ID])
    direct = parquet.tables_from_results(MADE, RESULTS)
    stored = parquet.tables_from_database(old, STUDY_ID)
    assert all(table.equals(stored[name], check_metadata=False) for name, table in direct.items())
    assert evidence(old, STUDY_ID) == evidence(whole, STUDY_ID)


def test_a_second_completion_changes_nothing_even_if_it_differs(old: Database) -> None:
    old.record(completions(Stream()))
    before = contents(old.path)
    others = {
        fingerprint: replace(
            result,
            mask="0" * 32,
            overlaps=tuple(
                replace(o, counts=tuple(replace(c, expected=c.expected and c.expected / 2) for c in o.counts))
                for o in result.overlaps
            ),
        )
        for fingerprint, result in RESULTS.items()
    }
    stream = Stream()
    old.record([*completions(stream), *completions(stream, others)])
    assert contents(old.path) == before


def test_a_completion_in_one_batch_with_its_result_is_recorded(database: Database) -> None:
    stream = Stream()
    # Results of a batch are written before completions, whatever their order.
    database.record([*completions(stream), *whole_study(stream, MADE, results=OLD)])
    assert incomplete(database) == []


def test_a_completion_that_does_not_fit_its_result_is_ignored(old: Database) -> None:
    old.ensure()
    stream = Stream()
    before = contents(old.path)
    dense = next(fingerprint for fingerprint, stage in MADE.stages.items() if stage.kind == "pretrain")
    finetuned = next(f for f in sorted(RETRAINED) if MADE.stages[f].start == "finetune")
    good = completion(RESULTS[finetuned])
    level = good["levels"][0]
    old.record(
        [
            stream.event("completed", fingerprint="f" * 32, mask="0" * 32),
            stream.event("completed", fingerprint=dense, mask="0" * 32),
        ]
    )
    assert contents(old.path) == before
    too_many = {**level, "expected": [10_000.0] * len(level["ps"])}
    elsewhere = {**level, "pair": "finetuned_initial", "layers": ["nowhere"] * 1, "ps": [0.2], "expected": [0.1]}
    old.record([stream.event("completed", **{**good, "levels": [{**too_many, "pair": "finetuned_pretrained"}]})])
    old.record([stream.event("completed", **{**good, "levels": [elsewhere]})])
    after = contents(old.path)
    assert after["overlap_counts"] == before["overlap_counts"]
    # The hash of the mask is recorded all the same.
    assert after["results"] != before["results"]


def test_a_diverged_training_is_not_incomplete_and_is_not_completed(database: Database) -> None:
    diverged = {f: without_masks(result) for f, result in diverging_results(MADE).items()}
    database.record(whole_study(Stream(), MADE, results=diverged))
    diverged_stages = {fingerprint for fingerprint, result in diverged.items() if result.diverged is not None}
    assert {row.fingerprint for row in incomplete(database)} == RETRAINED - diverged_stages
    before = contents(database.path)["results"]
    database.record([event for event in completions(Stream()) if event.body["fingerprint"] in diverged_stages])
    assert contents(database.path)["results"] == before


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": None},
        {"mask": "xyz"},
        {"mask": "A" * 32},
        {"fingerprint": "../../x"},
        {"levels": 5},
        {"levels": [5]},
        {"levels": [{"pair": "ticket_finetuned", "layers": ["a"], "ps": [0.2], "expected": [1.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [0.2], "expected": [math.nan]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [0.2], "expected": [-1.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [0.2], "expected": ["1"]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [True], "expected": [1.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a"], "ps": [1.2], "expected": [1.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a", "b"], "ps": [0.2], "expected": [1.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": ["a", "a"], "ps": [0.2, 0.2], "expected": [1.0, 2.0]}]},
        {"levels": [{"pair": "finetuned_initial", "layers": [], "ps": [], "expected": []}] * 2},
    ],
    ids=str,
)
def test_a_malformed_completion_is_refused(old: Database, changes: dict[str, object]) -> None:
    before = contents(old.path)
    with pytest.raises(EventError):
        old.record([Stream().event("completed", **{**completion(RESULTS[min(RETRAINED)]), **changes})])
    assert contents(old.path) == before


def test_every_query_has_the_pooled_level_of_pairs_against_a_dense_network(database: Database) -> None:
    database.record(whole_study(Stream(), MADE))
    ps = list(MADE.study.overlap_p)
    frames = [
        queries.pooled_overlaps(database, OneStudy(STUDY_ID)),
        queries.pooled_overlaps(database, Studies([STUDY_ID])),
        queries.pooled_overlaps(database, Roles(MADE.roles, ps), PAIRS),
    ]
    for frame in frames:
        assert len(frame) == len(frames[0])
        for row in frame.itertuples():
            [overlap] = [o for o in RESULTS[row.fingerprint].overlaps if o.pair == row.pair]
            level = pooled_level(count for count in overlap.counts if count.p == row.p)
            assert (level is not None) == (row.pair in AGAINST_DENSE)
            assert row.level == pytest.approx(math.nan if level is None else level, nan_ok=True)
        assert (frame["chance"] == frame["p"]).all()
    for frame in (
        queries.accuracy(database, OneStudy(STUDY_ID)),
        queries.accuracy(database, Studies([STUDY_ID])),
        queries.accuracy(database, Roles(MADE.roles)),
    ):
        assert [None if pd.isna(mask) else mask for mask in frame["mask"]] == [
            RESULTS[fingerprint].mask for fingerprint in frame["fingerprint"]
        ]
    expected = queries.overlaps(database, OneStudy(STUDY_ID)).set_index(["pair"])["expected"]
    assert expected[list(AGAINST_DENSE)].notna().all()
    points, overlaps = evidence(database, STUDY_ID)
    assert {point.mask for point in points} == {result.mask for result in RESULTS.values()}
    assert {o.pair for o in overlaps if o.level is not None} == set(AGAINST_DENSE)


def test_a_pooled_level_is_missing_where_one_layer_lacks_its_count(database: Database) -> None:
    finetuned = next(f for f in sorted(RETRAINED) if MADE.stages[f].start == "finetune")
    database.record(whole_study(Stream(), MADE, results=OLD))
    body = completion(RESULTS[finetuned])
    for level in body["levels"]:
        for name in ("layers", "ps", "expected"):
            level[name] = level[name][1:]
    database.record([Stream().event("completed", **body)])
    pooled = queries.pooled_overlaps(database, OneStudy(STUDY_ID), AGAINST_DENSE)
    own = pooled[pooled["fingerprint"] == finetuned]
    assert own[own["p"] == 0.05]["level"].isna().all()
    assert own[own["p"] == 0.2]["level"].notna().all()
    assert [row.fingerprint for row in incomplete(database) if not row.mask] == [finetuned]
