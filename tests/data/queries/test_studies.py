from datetime import UTC, timedelta

import pandas as pd
import pytest

from data.database.database import Database
from data.database.events import Event
from data.queries import points, results, studies
from data.queries.launches import tomls
from data.queries.results import provenance
from data.queries.selection import OneStudy
from data.queries.studies import UnknownStudy, studies_of
from engine.study.spec import Study, parse_study
from tests.app.made_study import BEGAN, record
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results, whole_study

STUDY = {"name": "A", "datasets": ["digits"], "networks": ["lenet300"], "sparsities": [0.5], "seeds": [0]}


def small(**changes: object) -> Study:
    values = {
        "name": "Small",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "learning_rates": [0.1],
        "pruners": ["iterative", "oneshot"],
        "sparsities": [0.5],
        "seeds": [0],
        "recipe": {"epochs": 4},
    }
    return parse_study({**values, **changes})


def test_a_study_is_queued_then_running_then_done(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    database.record([stream.launched(planned)])
    assert studies.study(database, STUDY_ID).state == "queued"
    results = list(made_results(planned).values())
    database.record([stream.stage(results[0].fingerprint, "running", worker="w", host="h", device="cpu")])
    assert studies.study(database, STUDY_ID).state == "running"
    database.record([event for result in results for event in stream.life(result)])
    record = studies.study(database, STUDY_ID)
    assert record.state == "done"
    assert record.counts["done"] == len(planned.stages)
    assert record.study == planned.study


def test_a_failed_stage_has_its_error_and_the_study_is_failed(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    database.record([stream.launched(planned)])
    for fingerprint, stage in planned.stages.items():
        if stage.kind == "pretrain":
            database.record([stream.stage(fingerprint, "failed", attempt=3, error="MemoryError: too large")])
    stages = studies.stages(database, STUDY_ID)
    failed = stages[stages["state"] == "failed"]
    assert len(failed) == 4
    assert set(failed["error"]) == {"MemoryError: too large"}
    assert studies.study(database, STUDY_ID).state == "failed"


def test_a_study_is_cancelled_until_it_continues(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    database.record(
        [stream.launched(planned), stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T10:02:00+00:00")]
    )
    database.record([stream.stage(f, "cancelled", second=30) for f in planned.stages])
    assert studies.study(database, STUDY_ID).state == "cancelled"
    database.record([stream.launched(planned)])
    database.record([event for result in made_results(planned).values() for event in stream.life(result)])
    assert studies.study(database, STUDY_ID).state == "done"


def test_existing_results_count_as_done_and_reused(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    results = made_results(planned)
    database.record([stream.result(result) for result in results.values()])
    database.record([stream.launched(planned, reused=tuple(planned.stages))])
    row = studies.studies(database).iloc[0]
    assert (row["state"], row["done"], row["reused"]) == ("done", len(planned.stages), len(planned.stages))
    assert len(points.accuracy(database, OneStudy(STUDY_ID))) == len(planned.roles)


def test_stages_list_roles_and_last_epoch(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    frame = studies.stages(database, STUDY_ID)
    assert list(frame["fingerprint"]) == list(planned.stages)
    shared = frame[(frame["sparsity"] == 0.5) & (frame["score"] == "magnitude") & (frame["start"] == "reinit")]
    assert set(shared["pruners"]) == {"iterative, oneshot", "admm"}
    assert (frame["epoch"] == frame["epochs"]).all()


def test_residuals_and_speeds(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    residuals = studies.residuals(database, STUDY_ID)
    assert list(residuals["residual"].head(3)) == [1.0, 0.5, 0.25]
    assert results.recorded(database) == set(planned.stages)
    speeds = results.speeds(database)
    assert speeds["seconds_per_epoch"].iloc[0] == pytest.approx(1.5)


def test_errors_for_unknown_and_ambiguous_ids_say_what_to_do(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    database.record(
        [stream.launched(planned, "aa11"), stream.launched(planned, "aa22"), stream.launched(planned, "bb33")]
    )
    assert studies.find_study(database, "bb") == "bb33"
    with pytest.raises(UnknownStudy, match="2 studies begin with 'aa'"):
        studies.find_study(database, "aa")
    with pytest.raises(UnknownStudy, match="status lists them"):
        studies.find_study(database, "zz")
    for query in (studies.study, studies.stages, studies.residuals, studies.supports):
        with pytest.raises(UnknownStudy):
            query(database, "' OR 1=1 --")


def test_an_empty_database_has_no_studies(database: Database) -> None:
    assert studies.studies(database).empty
    assert results.speeds(database).empty


def test_every_launched_study_is_listed_with_its_toml(database: Database) -> None:
    planned = made_plan()
    database.record(whole_study(Stream(), planned))
    ((study_id, toml),) = tomls(database)
    assert study_id == STUDY_ID
    assert "[recipe]" in toml


def test_studies_recorded_at_once_are_listed_in_the_order_of_their_launches(database: Database) -> None:
    ids = [f"study-{number}" for number in range(40)]
    planned, stream = made_plan(), Stream()
    # Some were recorded before, and events may come twice.
    database.record([stream.launched(planned, study_id) for study_id in ids[:10]])
    database.record([stream.launched(planned, study_id) for study_id in ids[5:] + ids])
    assert list(studies.studies(database)["study_id"]) == ids[::-1]


def test_stages_of_several_studies_are_listed_under_the_latest_one_that_is_not_cancelled(database: Database) -> None:
    database.ensure()
    planned = record(database, small(name="First"), study_id="first", began=BEGAN)
    again = record(database, small(name="Second"), study_id="second", began=BEGAN + timedelta(days=1))
    record(database, small(name="Third", seeds=[0, 1]), study_id="third", began=BEGAN + timedelta(days=2))
    assert planned.stages.keys() == again.stages.keys()
    fingerprints = list(planned.stages)
    listed = studies_of(database, [*fingerprints, "0" * 32])
    assert set(listed["fingerprint"]) == set(fingerprints)
    assert set(listed["study"]) == {"Third"}
    assert set(listed["studies"]) == {3}
    at = (BEGAN + timedelta(days=3)).isoformat()
    database.record([Event("9999999999999-0", "cancelled", {"study_id": "third", "at": at})])
    listed = studies_of(database, fingerprints[:1])
    assert list(listed[["study_id", "study"]].itertuples(index=False, name=None)) == [("second", "Second")]


def test_stages_are_described_by_their_study(database: Database) -> None:
    database.ensure()
    planned = record(database, small(), study_id="one")
    listed = studies_of(database, list(planned.stages)).set_index("fingerprint")
    for fingerprint, stage in planned.stages.items():
        row = listed.loc[fingerprint]
        assert (row["kind"], row["network"], row["dataset"], row["seed"]) == (stage.kind, "lenet300", "digits", 0)
        assert row["sparsity"] == stage.sparsity
        assert row["start"] == ("dense" if stage.kind == "pretrain" else stage.start)
    # The first round of iterative pruning and one-shot pruning are the same stages.
    assert {"", "iterative, oneshot"} == set(listed["pruners"])
    assert studies_of(database, []).empty


def test_stages_of_equal_device_and_versions_are_one_row_of_provenance(database: Database) -> None:
    stages = len(record(database, parse_study(STUDY), reused=2).stages)
    (row,) = provenance(database, "made-study-0001").itertuples()
    assert (row.device, row.versions) == ("cpu", "engine 1, python 3.11.7, torch 2.13.0")
    assert (row.stages, row.reused) == (stages, 2)
    assert row.seconds > 0
    assert row.began == BEGAN
    assert row.ended == BEGAN + timedelta(seconds=stages + 1)
    assert row.began.tzinfo is UTC or row.began.utcoffset() == timedelta(0)


def test_provenance_counts_only_results_of_the_study(database: Database) -> None:
    count = len(record(database, parse_study(STUDY)).stages)
    other = parse_study({**STUDY, "name": "B", "seeds": [0, 1]})
    record(database, other, lambda index, stage: "waiting", study_id="made-study-0002")
    rows = provenance(database, "made-study-0002")
    assert rows["stages"].sum() == count
    assert provenance(database, "made-study-0001")["stages"].sum() == count


def test_a_study_without_results_has_no_provenance(database: Database) -> None:
    record(database, parse_study(STUDY), lambda index, stage: "queued")
    assert provenance(database, "made-study-0001").empty
    assert provenance(database, "gone").empty


def test_a_cancelled_study_stays_cancelled_whoever_trains_its_stages_until_it_is_retried(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    launched = [stream.launched(planned), stream.launched(planned, "twin")]
    cancelled = stream.event("cancelled", study_id="twin", at="2026-11-23T10:02:00+00:00")
    later = [event for result in made_results(planned).values() for event in stream.life(result)]
    half = len(later) // 2
    database.record([*launched, cancelled, *later[:half]])
    assert studies.study(database, STUDY_ID).state == "running"
    assert studies.study(database, "twin").state == "cancelled"
    database.record(later[half:])
    assert studies.study(database, STUDY_ID).state == "done"
    twin = studies.studies(database).set_index("study_id").loc["twin"]
    assert twin["state"] == "cancelled"
    # What it shares is shown as what it is.
    assert twin["done"] == len(planned.stages)
    assert twin["cancelled_at"] == twin["finished_at"]
    database.record([stream.launched(planned, "twin")])
    assert studies.study(database, "twin").state == "done"
    assert studies.studies(database).set_index("study_id").loc["twin", "cancelled_at"] is pd.NaT
    # Events come twice, and late.
    database.record([cancelled, launched[1]])
    assert studies.study(database, "twin").state == "done"


def test_a_second_cancellation_after_a_retry_holds_whatever_the_clocks_say(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    first = stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T10:02:00+00:00")
    database.record([stream.launched(planned), first, stream.launched(planned, second=50)])
    assert studies.study(database, STUDY_ID).state == "queued"
    # The clock of the host that cancelled is an hour behind.
    database.record([stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T09:00:00+00:00")])
    assert studies.study(database, STUDY_ID).state == "cancelled"


def test_cancellations_of_an_older_version_still_count(database: Database) -> None:
    stream, planned = Stream(), made_plan()
    database.record([stream.launched(planned)])
    with database.writing() as connection:
        connection.execute("DELETE FROM launches")
        connection.execute("INSERT INTO cancellations VALUES (?, '2026-11-23 10:02:00', NULL)", [STUDY_ID])
    assert studies.study(database, STUDY_ID).state == "cancelled"
    database.record([stream.launched(planned, second=59)])
    database.record([event for result in made_results(planned).values() for event in stream.life(result)])
    assert studies.study(database, STUDY_ID).state == "done"
