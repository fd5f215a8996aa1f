"""An import brings a study with its results, trains nothing, and never replaces a number that is here."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from data.artifacts.store import Artifacts
from data.bundles.format import BundleError
from data.database.database import Database
from data.queries import results, studies
from data.queries.studies import InTrash
from data.settings import settings
from engine.study import plan as planning
from engine.study.results import StageResult
from tasks.bundles import words
from tasks.bundles.importing import Imported, import_bundle
from tasks.queue import leases, telemetry
from tasks.queue.scripts import PREFIX
from tasks.services import recorder
from tasks.studies import delete, launch
from tasks.studies.planning import preview
from tasks.studies.rebuild import rebuild
from tests.data.bundles.made_bundles import edited, exported, rewritten
from tests.data.made_results import contents, made_result
from tests.machine import tiny_study
from tests.tasks.studies.test_rebuild import planned, train

Export = Callable[..., bytes]
# The bundles that tests of this process have made, by what is in them.
BUNDLES: dict[str, bytes] = {}


@pytest.fixture
def export(home: Path, tmp_path: Path) -> Export:
    """A function that makes a bundle of the tiny study at another home; finished: how many of its stages are done."""
    del home

    def make(finished: int | None = None, study_id: str = "there", **changes: object) -> bytes:
        key = repr((finished, study_id, changes))
        if key not in BUNDLES:
            plan = planned(**changes)
            made = {name: made_result(name, stage) for name, stage in list(plan.stages.items())[:finished]}
            BUNDLES[key] = exported(Database(tmp_path / study_id / "ticketscope.duckdb"), plan, made, study_id)
        return BUNDLES[key]

    return make


def take(content: bytes) -> Imported:
    return import_bundle(settings(), io.BytesIO(content), "study.zip")


def everything(redis: Redis, database: Database) -> tuple[object, ...]:
    """Return all that an import may change."""
    database.ensure()
    moving = (f"{PREFIX}clock", telemetry.EVENTS)
    keys = {key: redis.dump(key) for key in sorted(map(str, redis.keys())) if key not in moving}
    return (
        contents(database.path),
        keys,
        telemetry.last_event(redis),
        sorted(file.path for file in Artifacts(settings().artifacts).all_files()),
    )


def test_an_imported_study_is_done_without_a_worker(redis: Redis, export: Export) -> None:
    # No database is here before.
    content, database = export(), Database(settings().database)
    done = take(content)
    stages = planned().stages
    assert (done.is_new, done.done, done.added, done.recorded) == (True, len(stages), len(stages), True)
    assert studies.study(database, "there").state == "done"
    assert Artifacts(settings().artifacts).finished() == stages.keys()
    assert leases.counts(redis, "there") == {"done": len(stages)}
    assert telemetry.queued(redis) == 0
    rows = studies.stages(database, "there")
    assert set(rows["worker"]) == {"laptop:7"}
    assert set(rows["lab"]) == {"Lab A"}
    assert {f"{at:%Y-%m-%d %H:%M:%S}" for at in rows["finished_at"]} == {"2026-11-23 10:01:09"}
    [phrase] = results.origins_in_words(results.origins(database, "there"))
    assert phrase.startswith("7 stages from Lab A, trained on cpu (laptop), on ")
    assert words.imported(done) == ["imported Tiny from Lab A as there: 7 of 7 stages done"]
    before = everything(redis, database)
    assert words.imported(take(content)) == ["Tiny is here already as there: nothing was added, 7 of 7 stages done"]
    assert everything(redis, database) == before
    assert rebuild(settings()) == []


def test_a_study_with_more_seeds_reuses_what_was_imported(redis: Redis, export: Export) -> None:
    del redis
    take(export())
    assert preview(tiny_study(seeds=[0, 1])).reused == 7
    study_id = launch.launch(tiny_study(seeds=[0, 1]))
    recorder.drain_idle(settings())
    record = studies.study(Database(settings().database), study_id)
    assert (record.counts["done"], record.counts["queued"]) == (7, 1)


def test_an_incomplete_study_trains_nothing_until_a_retry_and_is_completed_by_a_later_bundle(
    redis: Redis, export: Export
) -> None:
    done = take(export(finished=3))
    database = Database(settings().database)
    assert (done.done, done.stages) == (3, 7)
    assert "4 stages are not done, and nothing trains them: ticketscope retry there" in words.imported(done)[1]
    assert studies.study(database, "there").state == "cancelled"
    assert telemetry.queued(redis) == 0
    launch.retry("there")
    assert telemetry.queued(redis) > 0
    launch.cancel("there")
    later = take(export(finished=None))
    assert (later.is_new, later.added, later.done) == (False, 4, 7)
    assert words.imported(later) == ["Tiny is here as there: added 4 results from Lab A, 7 of 7 stages done"]
    assert studies.study(database, "there").state == "done"
    assert telemetry.queued(redis) == 0


def test_results_for_stages_that_wait_here_end_their_wait(redis: Redis, export: Export) -> None:
    study_id = launch.launch(tiny_study())
    [root, *others] = planned().stages
    take(export(finished=1))
    states = leases.states(redis, [root, *others])
    assert states[root] == "done"
    assert "queued" in {states[key] for key in others}
    database = Database(settings().database)
    assert studies.study(database, study_id).counts["done"] == 1
    # The imported study is cancelled, and the one that was launched here goes on.
    train(redis, planned(), 6)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).state == "done"


def test_other_numbers_of_the_same_stage_are_told_and_the_first_stay(
    redis: Redis, database: Database, export: Export
) -> None:
    study_id = launch.launch(tiny_study())
    [root] = train(redis, planned(), 1)
    recorder.drain_idle(settings())
    there = made_result(root, planned().stages[root])
    epochs = tuple(replace(e, test_accuracy=e.test_accuracy + 0.25) for e in there.epochs)
    before = [row for row in contents(database.path)["epochs"] if row[0] == root]
    stored = Artifacts(settings().artifacts).result(root)
    done = take(rewritten(export(), {f"results/{root}.json": edited(lambda v: v.update(epochs=rows(epochs)))}))
    [difference] = done.other
    assert (difference.fingerprint, difference.points) == (root, 0.25)
    assert words.imported(done)[1] == (
        "1 training of the bundle differs from the same here, by at most 0.25 points of test accuracy "
        "(dense lenet300 on digits, lr 0.1, seed 0); the numbers here stay"
    )
    assert (done.added, done.done) == (6, 7)
    assert [row for row in contents(database.path)["epochs"] if row[0] == root] == before
    assert Artifacts(settings().artifacts).result(root) == stored
    stages = studies.stages(database, study_id).set_index("fingerprint")
    assert stages.loc[root, "imported_at"] is not stages.loc[root, "imported_at"] or not stages.loc[root, "lab"]
    assert results.origins(database, study_id)["stages"].sum() == 6


def rows(epochs: tuple[object, ...]) -> list[list[object]]:
    return [list(vars(epoch).values()) for epoch in epochs]


def test_a_faulty_bundle_changes_nothing(redis: Redis, database: Database, export: Export) -> None:
    launch.launch(tiny_study(seeds=[3]))
    recorder.drain_idle(settings())
    last = list(planned().stages)[-1]
    faulty = rewritten(export(), {f"results/{last}.json": edited(lambda values: values["epochs"].pop())})
    before = everything(redis, database)
    with pytest.raises(BundleError, match=f"study.zip cannot be imported: 'results/{last}.json'.* trains 4"):
        take(faulty)
    assert everything(redis, database) == before


def test_a_study_in_the_trash_is_refused_and_a_deleted_one_comes_back_under_one_other_id(
    redis: Redis, export: Export
) -> None:
    content = export()
    take(content)
    delete.trash(settings(), "there")
    recorder.drain_idle(settings())
    with pytest.raises(InTrash, match="restore-study there"):
        take(content)
    delete.delete(settings(), "there")
    recorder.drain_idle(settings())
    again = take(content)
    assert again.study_id != "there"
    assert "study there was deleted here, so that this one has an id of its own" in words.imported(again)
    assert studies.study(Database(settings().database), again.study_id).state == "done"
    assert not take(content).is_new
    assert leases.studies(redis) == [again.study_id]


def test_another_study_of_the_same_id_is_refused(redis: Redis, export: Export) -> None:
    del redis
    take(export())
    with pytest.raises(BundleError, match="there is another study, with 14 other stages"):
        take(rewritten(export(study_id="elsewhere", seeds=[5]), {"manifest.json": edited(renamed)}))


def renamed(values: dict[str, object]) -> None:
    values["study_id"] = "there"


def test_origins_outlive_a_lost_queue_and_a_lost_database(redis: Redis, export: Export) -> None:
    take(export())
    database = Database(settings().database)
    before = contents(database.path)["origins"]
    assert len(before) == 7
    redis.flushall()
    assert [one.study_id for one in rebuild(settings())] == ["there"]
    assert leases.counts(redis, "there") == {"done": 7}
    database.path.unlink()
    database.ensure()
    rebuild(settings())
    assert contents(database.path)["origins"] == before


def test_a_bundle_of_another_engine_is_shown_and_never_reused(
    redis: Redis, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = export(finished=3)
    monkeypatch.setattr(planning, "ENGINE_VERSION", 7)
    monkeypatch.setattr("tasks.bundles.importing.ENGINE_VERSION", 7)
    done = take(content)
    assert any(line.startswith("version 1 of the engine made it") for line in words.imported(done))
    assert leases.counts(redis, "there") == {"done": 3, "failed": 4}
    assert preview(tiny_study()).reused == 0
    failed = studies.stages(Database(settings().database), "there").query("state == 'failed'")
    assert "another version of the engine" in failed["error"].iloc[0]


def test_results_of_other_code_are_counted_as_such(
    redis: Redis, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    del redis
    content = export()
    from engine.registry import NETWORKS

    monkeypatch.setitem(NETWORKS, "lenet300", replace(NETWORKS["lenet300"], version=2))
    done = take(content)
    assert (done.done, done.reusable) == (7, 0)
    assert "would reuse 0 of 7 results here" in " ".join(words.imported(done))


def test_a_stage_in_training_here_is_left_out(redis: Redis, export: Export) -> None:
    launch.launch(tiny_study())
    root = next(iter(planned().stages))
    assert leases.claim(redis, leases.Message(root, 1), "laptop:7", "laptop", "cpu", 20.0)
    done = take(export())
    assert (done.running, done.added) == (1, 6)
    assert leases.states(redis, [root]) == {root: "running"}
    assert root not in Artifacts(settings().artifacts).finished()


def test_the_result_json_of_an_import_is_one_that_older_code_reads(redis: Redis, export: Export) -> None:
    del redis
    take(export(finished=1))
    file = next(Path(settings().artifacts, "results").glob("*.json"))
    values = json.loads(file.read_text())
    assert values.pop("origin")["lab"] == "Lab A"
    values.pop("blake2b")
    assert StageResult.from_json(values).to_json() == values
