from data.database.database import Database
from data.queries.revision import Revision, results_revision, revision
from engine.study.spec import Study, parse_study
from tests.app.made_study import record
from tests.data.made_results import STUDY_ID, Stream, made_plan, made_results


def small(**changes: object) -> Study:
    values = {"name": "small", "datasets": ["digits"], "networks": ["lenet300"], "sparsities": [0.5], "seeds": [0]}
    return parse_study({**values, "recipe": {"epochs": 4}, **changes})


def test_results_change_with_every_new_result_of_the_study_and_with_nothing_else(store: Database) -> None:
    stream, made = Stream(), made_plan(seeds=[0], pruners=["oneshot"])
    other = made_plan(seeds=[1], pruners=["oneshot"])
    results, others = list(made_results(made).values()), list(made_results(other).values())
    store.record([stream.launched(made), stream.launched(other, "other")])
    begin = revision(store, STUDY_ID).results
    store.record([stream.stage(results[0].fingerprint, "running"), stream.epochs(results[0])])
    store.record([stream.result(others[0])])
    assert revision(store, STUDY_ID).results == begin
    seen = {begin}
    for result in results[:3]:
        store.record([stream.result(result)])
        seen.add(revision(store, STUDY_ID).results)
        store.record([stream.result(result)])
        seen.add(revision(store, STUDY_ID).results)
    assert len(seen) == 4


def test_a_study_that_is_not_there_has_none(store: Database) -> None:
    assert revision(store, "nothing") == Revision()


def test_states_change_with_every_stage_and_with_a_cancellation(store: Database) -> None:
    stream, made = Stream(), made_plan(seeds=[0], pruners=["oneshot"])
    first, second, *_ = made_results(made).values()
    store.record([stream.launched(made)])
    seen = [revision(store, STUDY_ID)]
    for event in (
        stream.stage(first.fingerprint, "running"),
        stream.stage(first.fingerprint, "done"),
        stream.stage(second.fingerprint, "running"),
        stream.event("cancelled", study_id=STUDY_ID, at="2026-11-23T10:05:00+00:00"),
    ):
        store.record([event])
        seen.append(revision(store, STUDY_ID))
    assert len({found.states for found in seen}) == len(seen)
    assert [found.running for found in seen] == [0, 1, 0, 1, 1]
    store.record([stream.epochs(second)])
    assert revision(store, STUDY_ID) == seen[-1]


def test_that_of_several_studies_changes_with_results_and_nothing_else(store: Database) -> None:
    record(store, small(), study_id="first")
    record(store, small(seeds=[1]), study_id="second")
    before = results_revision(store, ["first"])
    record(store, small(name="elsewhere", datasets=["cifar10"]), study_id="elsewhere")
    assert results_revision(store, ["first"]) == before
    assert results_revision(store, ["first", "second"]) != before
