import pytest

from data.database.database import Database
from data.queries import studies
from data.queries.studies import UnknownStudy
from engine.counts import pooled
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results, whole_study


def test_accuracy_has_a_row_for_each_role_with_final_and_best(store: Database) -> None:
    made = made_plan()
    results = made_results(made)
    store.record(whole_study(Stream(), made))
    frame = studies.accuracy(store, STUDY_ID)
    assert len(frame) == len(made.roles)
    for row, role in zip(frame.to_dict("records"), made.roles, strict=True):
        result = results[role.fingerprint]
        assert (row["pruner"], row["sparsity"], row["start"]) == (role.pruner, role.sparsity, role.start)
        assert (row["learning_rate"], row["seed"]) == (role.learning_rate, role.seed)
        assert (row["test_accuracy"], row["test_loss"]) == (result.final.test_accuracy, result.final.test_loss)
        assert (row["best_test_accuracy"], row["best_epoch"]) == (result.best.test_accuracy, result.best.epoch)
        assert row["measured_sparsity"] == result.sparsity


def test_pooled_overlaps_equal_the_engines_pooling_at_the_studys_p(store: Database) -> None:
    made = made_plan()
    results = made_results(made)
    store.record(whole_study(Stream(), made))
    frame = studies.pooled_overlaps(store, STUDY_ID)
    assert set(frame["p"]) == set(made.study.overlap_p)
    for row in frame.to_dict("records"):
        counts = next(o.counts for o in results[row["fingerprint"]].overlaps if o.pair == row["pair"])
        assert row["ratio"] == pytest.approx(pooled(c for c in counts if c.p == row["p"]))
        assert row["chance"] == row["p"]
    layers = studies.overlaps(store, STUDY_ID, ["initial_pretrained"])
    assert set(layers["pair"]) == {"initial_pretrained"}
    assert list(layers["layer"].unique()) == ["fc1.weight", "fc2.weight", "fc3.weight"]


def test_a_study_goes_from_queued_over_running_to_done(store: Database) -> None:
    stream, made = Stream(), made_plan()
    store.record([stream.launched(made)])
    assert studies.study(store, STUDY_ID).state == "queued"
    results = list(made_results(made).values())
    store.record([stream.stage(results[0].fingerprint, "running", worker="w", host="h", device="cpu")])
    assert studies.study(store, STUDY_ID).state == "running"
    store.record([event for result in results for event in stream.life(result)])
    record = studies.study(store, STUDY_ID)
    assert record.state == "done"
    assert record.counts["done"] == len(made.stages)
    assert record.study == made.study


def test_a_failed_stage_keeps_its_reason_and_the_study_ends_as_failed(store: Database) -> None:
    stream, made = Stream(), made_plan()
    store.record([stream.launched(made)])
    for fingerprint, stage in made.stages.items():
        if stage.kind == "pretrain":
            store.record([stream.stage(fingerprint, "failed", attempt=3, error="MemoryError: too large")])
    stages = studies.stages(store, STUDY_ID)
    failed = stages[stages["state"] == "failed"]
    assert len(failed) == 4
    assert set(failed["error"]) == {"MemoryError: too large"}
    assert studies.study(store, STUDY_ID).state == "failed"


def test_a_cancelled_study_says_so_until_it_goes_on(store: Database) -> None:
    stream, made = Stream(), made_plan()
    store.record([stream.launched(made), stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T10:02:00+00:00")])
    store.record([stream.stage(f, "cancelled", second=30) for f in made.stages])
    assert studies.study(store, STUDY_ID).state == "cancelled"
    store.record([event for result in made_results(made).values() for event in stream.life(result)])
    assert studies.study(store, STUDY_ID).state == "done"


def test_what_was_done_before_counts_as_done_and_reused(store: Database) -> None:
    stream, made = Stream(), made_plan()
    results = made_results(made)
    store.record([stream.result(result) for result in results.values()])
    store.record([stream.launched(made, reused=tuple(made.stages))])
    row = studies.studies(store).iloc[0]
    assert (row["state"], row["done"], row["reused"]) == ("done", len(made.stages), len(made.stages))
    assert len(studies.accuracy(store, STUDY_ID)) == len(made.roles)


def test_stages_list_roles_and_last_epoch(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    frame = studies.stages(store, STUDY_ID)
    assert list(frame["fingerprint"]) == list(made.stages)
    shared = frame[(frame["sparsity"] == 0.5) & (frame["score"] == "magnitude") & (frame["start"] == "reinit")]
    assert set(shared["pruners"]) == {"iterative, oneshot", "admm"}
    assert (frame["epoch"] == frame["epochs"]).all()


def test_epochs_can_be_asked_for_some_stages_only(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    first = next(iter(made.stages))
    frame = studies.epochs(store, STUDY_ID, [first])
    assert set(frame["fingerprint"]) == {first}
    assert list(frame["epoch"]) == [1, 2, 3]


def test_residuals_and_speeds(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    residuals = studies.residuals(store, STUDY_ID)
    assert list(residuals["residual"].head(3)) == [1.0, 0.5, 0.25]
    assert studies.recorded(store) == set(made.stages)
    speeds = studies.speeds(store)
    assert speeds["seconds_per_epoch"].iloc[0] == pytest.approx(1.5)


def test_unknown_and_ambiguous_ids_say_what_to_do(store: Database) -> None:
    stream, made = Stream(), made_plan()
    store.record([stream.launched(made, "aa11"), stream.launched(made, "aa22"), stream.launched(made, "bb33")])
    assert studies.find_study(store, "bb") == "bb33"
    with pytest.raises(UnknownStudy, match="2 studies begin with 'aa'"):
        studies.find_study(store, "aa")
    with pytest.raises(UnknownStudy, match="status lists them"):
        studies.find_study(store, "zz")
    for query in (studies.study, studies.stages, studies.accuracy, studies.epochs, studies.overlaps):
        with pytest.raises(UnknownStudy):
            query(store, "' OR 1=1 --")


def test_an_empty_store_has_no_studies(store: Database) -> None:
    assert studies.studies(store).empty
    assert studies.speeds(store).empty
