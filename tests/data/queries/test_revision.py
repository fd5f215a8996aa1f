from data.database.database import Database
from data.queries.revision import Revision, results_revision, revision
from engine.study.spec import Study, parse_study
from tests.app.made_study import record
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results


def small(**changes: object) -> Study:
    values = {"name": "small", "datasets": ["digits"], "networks": ["lenet300"], "sparsities": [0.5], "seeds": [0]}
    return parse_study({**values, "recipe": {"epochs": 4}, **changes})


def test_the_results_revision_changes_with_each_new_result_of_the_study_alone(database: Database) -> None:
    stream, planned = Stream(), made_plan(seeds=[0], pruners=["oneshot"])
    other = made_plan(seeds=[1], pruners=["oneshot"])
    results, others = list(made_results(planned).values()), list(made_results(other).values())
    database.record([stream.launched(planned), stream.launched(other, "other")])
    begin = revision(database, STUDY_ID).results
    database.record([stream.stage(results[0].fingerprint, "running"), stream.epochs(results[0])])
    database.record([stream.result(others[0])])
    assert revision(database, STUDY_ID).results == begin
    seen = {begin}
    for result in results[:3]:
        database.record([stream.result(result)])
        seen.add(revision(database, STUDY_ID).results)
        database.record([stream.result(result)])
        seen.add(revision(database, STUDY_ID).results)
    assert len(seen) == 4


def test_an_unknown_study_has_an_empty_revision(database: Database) -> None:
    assert revision(database, "nothing") == Revision()


def test_the_states_revision_changes_with_every_state_and_with_a_cancellation(database: Database) -> None:
    stream, planned = Stream(), made_plan(seeds=[0], pruners=["oneshot"])
    first, second, *_ = made_results(planned).values()
    database.record([stream.launched(planned)])
    seen = [revision(database, STUDY_ID)]
    for event in (
        stream.stage(first.fingerprint, "running"),
        stream.stage(first.fingerprint, "done"),
        stream.stage(second.fingerprint, "running"),
        stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T10:05:00+00:00"),
    ):
        database.record([event])
        seen.append(revision(database, STUDY_ID))
    assert len({revised.states for revised in seen}) == len(seen)
    assert [revised.running for revised in seen] == [0, 1, 0, 1, 1]
    database.record([stream.epochs(second)])
    assert revision(database, STUDY_ID) == seen[-1]


def test_the_revision_of_several_studies_changes_with_their_results_alone(database: Database) -> None:
    record(database, small(), study_id="first")
    record(database, small(seeds=[1]), study_id="second")
    before = results_revision(database, ["first"])
    record(database, small(name="elsewhere", datasets=["cifar10"]), study_id="elsewhere")
    assert results_revision(database, ["first"]) == before
    assert results_revision(database, ["first", "second"]) != before
