import pandas as pd
import pytest

from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy, Roles, Studies
from data.queries.studies import UnknownStudy
from engine.counts import pooled
from tests.app.made_study import record
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results, whole_study
from tests.data.queries.conftest import small

READS = (points.accuracy, points.diverged, points.overlaps, points.pooled_overlaps, points.retention, points.epochs)


def test_accuracy_has_a_row_for_each_role_with_final_and_best(database: Database) -> None:
    planned = made_plan()
    results = made_results(planned)
    database.record(whole_study(Stream(), planned))
    frame = points.accuracy(database, OneStudy(STUDY_ID))
    assert len(frame) == len(planned.roles)
    for row, role in zip(frame.to_dict("records"), planned.roles, strict=True):
        result = results[role.fingerprint]
        assert (row["pruner"], row["sparsity"], row["start"]) == (role.pruner, role.sparsity, role.start)
        assert (row["learning_rate"], row["seed"]) == (role.learning_rate, role.seed)
        assert (row["test_accuracy"], row["test_loss"]) == (result.final.test_accuracy, result.final.test_loss)
        assert (row["best_test_accuracy"], row["best_epoch"]) == (result.best.test_accuracy, result.best.epoch)
        assert row["measured_sparsity"] == result.sparsity


def test_pooled_overlaps_equal_the_engines_pooling_at_the_studys_p(database: Database) -> None:
    planned = made_plan()
    results = made_results(planned)
    database.record(whole_study(Stream(), planned))
    frame = points.pooled_overlaps(database, OneStudy(STUDY_ID))
    assert set(frame["p"]) == set(planned.study.overlap_p)
    for row in frame.to_dict("records"):
        counts = next(o.counts for o in results[row["fingerprint"]].overlaps if o.pair == row["pair"])
        assert row["ratio"] == pytest.approx(pooled(c for c in counts if c.p == row["p"]))
        assert row["chance"] == row["p"]
    layers = points.overlaps(database, OneStudy(STUDY_ID), ["initial_pretrained"])
    assert set(layers["pair"]) == {"initial_pretrained"}
    assert list(layers["layer"].unique()) == ["fc1.weight", "fc2.weight", "fc3.weight"]


def test_epochs_can_be_limited_to_some_stages(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    first = next(iter(planned.stages))
    frame = points.epochs(database, OneStudy(STUDY_ID), [first])
    assert set(frame["fingerprint"]) == {first}
    assert list(frame["epoch"]) == [1, 2, 3]


def test_rows_of_several_studies_are_those_of_each_study_in_the_requested_order(shared: Database) -> None:
    rows = points.accuracy(shared, Studies(["second", "first"]))
    assert list(dict.fromkeys(rows["study_id"])) == ["second", "first"]
    assert dict(zip(rows["study_id"], rows["study"], strict=True)) == {"second": "more seeds", "first": "made"}
    for study_id, part in rows.groupby("study_id"):
        own = points.accuracy(shared, OneStudy(study_id))
        pd.testing.assert_frame_equal(part[own.columns].reset_index(drop=True), own, check_dtype=False)


def test_overlaps_are_at_each_studys_own_p_unless_others_are_requested(shared: Database) -> None:
    rows = points.pooled_overlaps(shared, Studies(["first", "second"]), ["initial_pretrained"])
    assert set(rows[rows["study_id"] == "first"]["p"]) == {0.1, 0.2}
    assert set(rows[rows["study_id"] == "second"]["p"]) == {0.2, 0.3}
    own = points.pooled_overlaps(shared, OneStudy("first"), ["initial_pretrained"])
    assert rows[rows["study_id"] == "first"]["ratio"].tolist() == own["ratio"].tolist()
    at = points.pooled_overlaps(shared, Studies(["first"]), ps=[0.45])
    assert set(at["p"]) == {0.45}
    assert {"ticket_finetuned", "reinit_finetuned", "initial_pretrained"} <= set(at["pair"])


def test_overlaps_by_layer_are_those_of_the_study(shared: Database) -> None:
    rows = points.overlaps(shared, Studies(["second"]), ["initial_pretrained"])
    own = points.overlaps(shared, OneStudy("second"), ["initial_pretrained"])
    assert rows["intersection"].tolist() == own["intersection"].tolist()


def test_retention_falls_from_early_to_late(shared: Database) -> None:
    rows = points.retention(shared, Studies(["first"]), ps=[0.2])
    assert set(rows["start"]) == {"dense"}
    assert set(rows["epochs"]) == {4}
    for _, part in rows.groupby("fingerprint"):
        assert part["epoch"].is_monotonic_increasing
        assert part["ratio"].is_monotonic_decreasing
        assert part["ratio"].between(0, 1).all()


def test_epochs_of_stages_outside_the_studies_are_left_out(shared: Database) -> None:
    own = points.accuracy(shared, Studies(["first"]))["fingerprint"].iloc[0]
    other = points.accuracy(shared, Studies(["longer"]))["fingerprint"].iloc[0]
    rows = points.epochs(shared, Studies(["first"]), [own, other])
    assert set(rows["fingerprint"]) == {own}
    assert rows["epoch"].tolist() == [1, 2, 3, 4]


def test_roles_have_their_accuracy_whichever_study_trained_them(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    expected = points.accuracy(database, OneStudy(STUDY_ID))
    frame = points.accuracy(database, Roles(planned.roles))
    assert frame.equals(expected)
    some = points.accuracy(database, Roles(planned.roles[3:7]))
    assert list(some["fingerprint"]) == [role.fingerprint for role in planned.roles[3:7]]


def test_overlaps_of_roles_are_pooled_as_for_a_study(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    expected = points.pooled_overlaps(database, OneStudy(STUDY_ID), ("finetuned_initial",))
    frame = points.pooled_overlaps(database, Roles(planned.roles, planned.study.overlap_p), ("finetuned_initial",))
    assert frame.equals(expected)


def test_roles_that_are_not_trained_have_no_row(database: Database) -> None:
    planned = made_plan()
    database.ensure()
    assert points.accuracy(database, Roles(planned.roles)).empty
    assert points.pooled_overlaps(database, Roles(planned.roles, (0.2,)), ("initial_pretrained",)).empty
    assert points.accuracy(database, Roles(())).empty


@pytest.mark.parametrize("count", [1, 2])
def test_a_role_requested_twice_has_two_rows(database: Database, count: int) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    assert len(points.accuracy(database, Roles(planned.roles[:1] * count))) == count


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("selection", [OneStudy("gone"), Studies(["first", "gone"]), OneStudy("' OR 1=1 --")])
def test_an_unknown_study_is_refused(shared: Database, read: object, selection: object) -> None:
    with pytest.raises(UnknownStudy, match=r"no study .*; ticketscope status lists them"):
        read(shared, selection)


@pytest.mark.parametrize("read", READS)
def test_a_study_without_results_has_no_rows(database: Database, read: object) -> None:
    planned = record(database, small(), lambda index, stage: "queued", study_id="waiting")
    selections = [OneStudy("waiting"), Studies(["waiting"])]
    if read is not points.epochs:
        selections.append(Roles(planned.roles, planned.study.overlap_p))
    for selection in selections:
        assert read(database, selection).empty


@pytest.mark.parametrize("read", READS)
def test_several_studies_have_the_columns_of_one_study_after_their_labels(shared: Database, read: object) -> None:
    front = [] if read is points.epochs else ["study_id", "study", "recipe", "rounds"]
    columns = list(read(shared, OneStudy("first")).columns)
    assert list(read(shared, Studies(["first", "longer"])).columns) == front + columns
    if read is not points.epochs:
        assert list(read(shared, Roles((), (0.2,))).columns) == columns
