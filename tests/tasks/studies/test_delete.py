"""Deletion removes a study and the stages that it alone has; reclaiming removes files of no study."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from data import shared_links
from data.artifacts.store import Artifacts
from data.database.database import Database
from data.queries import results, studies
from data.queries.studies import InTrash, UnknownStudy
from data.settings import settings
from tasks.queue import leases, naming, scripts
from tasks.queue.leases import LeaseLost, Message
from tasks.services import recorder
from tasks.studies import delete, launch
from tasks.studies.lock import study_lock
from tasks.studies.rebuild import RebuildError, rebuild
from tasks.studies.reclaim import find_waste, reclaim
from tests.data.made_results import contents, made_result
from tests.machine import tiny_study
from tests.tasks.studies.test_rebuild import LEASE, claimed, planned, train

ONE = {"pruners": ["oneshot"]}
TWO = {"pruners": ["iterative"]}


def names(redis: Redis) -> list[str]:
    """Return the keys of Redis about stages and studies."""
    kinds = ("stage:", "children:", "awaiting:", "studies:", "progress:", "study:", "members:")
    return [key for key in map(str, redis.keys()) if key.removeprefix(scripts.PREFIX).startswith(kinds)]


def saved_stages() -> set[str]:
    return {file.owner for file in Artifacts(settings().artifacts).all_files()}


def test_deletion_removes_the_stages_that_only_the_study_has(redis: Redis, database: Database) -> None:
    first, second = launch.launch(tiny_study(**ONE)), launch.launch(tiny_study(**TWO))
    one, two = planned(**ONE).stages, planned(**TWO).stages
    train(redis, planned(**ONE), len(one))
    train(redis, planned(**TWO), len(two.keys() - one.keys()))
    recorder.drain_idle(settings())
    outline = delete.preview(settings(), [first])
    assert (outline.own, outline.shared) == (len(one.keys() - two.keys()), len(one.keys() & two.keys()))
    assert outline.own > 0 < outline.shared
    files = Artifacts(settings().artifacts).all_files()
    assert outline.files == sum(file.owner in one.keys() - two.keys() for file in files)
    assert outline.size > 0
    assert delete.delete(settings(), first) == outline.own
    recorder.drain_idle(settings())
    assert list(studies.studies(database)["study_id"]) == [second]
    assert {row[0] for row in contents(database.path)["states"]} == set(two)
    assert leases.studies(redis) == [second]
    assert saved_stages() == set(two)
    assert leases.counts(redis, second) == {"done": len(two)}
    delete.delete(settings(), second)
    recorder.drain_idle(settings())
    assert names(redis) == []
    assert saved_stages() == set()
    assert not any(rows for name, rows in contents(database.path).items() if name != "meta")
    with pytest.raises(UnknownStudy):
        delete.delete(settings(), second)


def test_deleting_two_equal_studies_in_a_row_leaves_nothing(redis: Redis, database: Database) -> None:
    first, second = launch.launch(tiny_study()), launch.launch(tiny_study(name="Again"))
    train(redis, planned(), 3)
    recorder.drain_idle(settings())
    assert delete.delete(settings(), first) == 0
    assert delete.preview(settings(), [second]).own == len(planned().stages)
    assert delete.delete(settings(), second) == len(planned().stages)
    assert saved_stages() == set()
    recorder.drain_idle(settings())
    assert studies.studies(database).empty


def test_a_worker_loses_a_deleted_stage_even_if_it_is_launched_again(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    root = next(iter(planned().stages))
    held = claimed(redis, root)
    assert delete.preview(settings(), [study_id]).running == 1
    delete.delete(settings(), study_id)
    with pytest.raises(LeaseLost):
        leases.renew(redis, held, LEASE)
    assert leases.reap(redis, 0.0) == []
    again = launch.launch(tiny_study())
    fresh = claimed(redis, root)
    assert fresh.attempt > held.attempt
    with pytest.raises(LeaseLost):
        leases.done(redis, held, made_result(root, planned().stages[root]))
    leases.renew(redis, fresh, LEASE)
    recorder.drain_idle(settings())
    assert list(studies.studies(database)["study_id"]) == [again]


def test_stages_shared_with_a_cancelled_study_stay_cancelled(redis: Redis, database: Database) -> None:
    first, second = launch.launch(tiny_study(**ONE)), launch.launch(tiny_study(**TWO))
    launch.cancel(second)
    root = next(iter(planned(**ONE).stages))
    held = claimed(redis, root)
    delete.delete(settings(), first)
    recorder.drain_idle(settings())
    assert leases.counts(redis, second) == {"cancelled": len(planned(**TWO).stages)}
    assert studies.study(database, second).state == "cancelled"
    with pytest.raises(leases.StageCancelled):
        leases.renew(redis, held, LEASE)
    launch.retry(second)
    assert leases.states(redis, [root]) == {root: "queued"}


def test_a_study_that_redis_lost_can_be_deleted_and_shared_stages_stay(redis: Redis, database: Database) -> None:
    first, second = launch.launch(tiny_study(**ONE)), launch.launch(tiny_study(**TWO))
    train(redis, planned(**ONE), len(planned(**ONE).stages))
    recorder.drain_idle(settings())
    redis.flushall()
    delete.delete(settings(), first)
    recorder.drain_idle(settings())
    shared = planned(**ONE).stages.keys() & planned(**TWO).stages.keys()
    assert saved_stages() == shared
    assert list(studies.studies(database)["study_id"]) == [second]
    [rebuilt] = rebuild(settings())
    assert rebuilt.study_id == second
    assert leases.counts(redis, second)["done"] == len(shared)


def test_rebuild_repeats_a_deletion_that_redis_lost(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    body = leases.launched(redis, study_id)
    assert body is not None
    delete.delete(settings(), study_id)
    recorder.drain_idle(settings())
    # A Redis that lost its last second still has the study.
    leases.register(redis, study_id, body, list(planned().stages.values()), set())
    [rebuilt] = rebuild(settings())
    assert "was deleted" in rebuilt.what
    assert leases.studies(redis) == []
    assert studies.studies(database).empty


def test_the_trash_hides_a_study_stops_its_training_and_gives_it_back(redis: Redis, database: Database) -> None:
    first, second = launch.launch(tiny_study(**ONE)), launch.launch(tiny_study(**TWO))
    one, two = planned(**ONE).stages, planned(**TWO).stages
    train(redis, planned(**ONE), 1)
    held = claimed(redis, next(key for key, state in leases.states(redis, list(one)).items() if state == "queued"))
    own = one.keys() - two.keys()
    recorder.drain_idle(settings())
    _, token = shared_links.create(database, [first])
    assert shared_links.find(database, token)
    files = saved_stages()
    assert delete.trash(settings(), first) == len(own)
    recorder.drain_idle(settings())
    assert saved_stages() == files
    assert list(studies.studies(database)["study_id"]) == [second]
    assert list(studies.trash(database)["study_id"]) == [first]
    assert shared_links.find(database, token) is None
    assert list(shared_links.shares(database)["trashed"]) == [True]
    for refused in (launch.retry, lambda study_id: delete.trash(settings(), study_id)):
        with pytest.raises(InTrash, match="restore-study"):
            refused(first)
    with pytest.raises(InTrash):
        studies.find_study(database, first[:5])
    # What both have goes on, and what the Trash has is no waste and counts as shared.
    assert leases.counts(redis, second)["queued"] + leases.counts(redis, second)["running"] > 0
    assert (held.fingerprint in own) == (leases.states(redis, [held.fingerprint]) == {held.fingerprint: "cancelled"})
    assert delete.preview(settings(), [second]).own == len(two.keys() - one.keys())
    make_old()
    assert find_waste(settings()).all == []
    # An equal study is another one.
    assert launch.launch(tiny_study(**ONE)) != first
    delete.restore(settings(), first)
    recorder.drain_idle(settings())
    assert studies.study(database, first).state == "cancelled"
    assert studies.study(database, first).counts["done"] == 1
    assert shared_links.find(database, token)
    launch.retry(first)
    train(redis, planned(**ONE), 1)
    with pytest.raises(delete.NotInTrash):
        delete.restore(settings(), first)


def test_a_done_study_comes_back_done_and_leaves_the_trash_for_good_after_its_time(
    redis: Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = launch.launch(tiny_study())
    train(redis, planned(), len(planned().stages))
    delete.trash(settings(), study_id)
    recorder.drain_idle(settings())
    assert results.shown(database) == set() < results.recorded(database)
    delete.restore(settings(), study_id)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).state == "done"
    delete.trash(settings(), study_id)
    recorder.drain_idle(settings())
    assert delete.empty(settings()) == []
    monkeypatch.setattr(delete, "PERIOD", timedelta(0))
    # Somebody brings it back while the Trash is emptied.
    naming.restore(redis, study_id)
    assert delete.empty(settings()) == []
    delete.trash(settings(), study_id)
    recorder.drain_idle(settings())
    assert delete.empty(settings()) == [study_id]
    recorder.drain_idle(settings())
    assert names(redis) == []
    assert saved_stages() == set()
    assert not any(rows for name, rows in contents(database.path).items() if name != "meta")


def make_old(hours: float = 2.0) -> None:
    """Set the time of every file in the artifact store some hours back."""
    at = time.time() - 3600 * hours
    for file in Path(settings().artifacts).rglob("*.*"):
        os.utime(file, (at, at))


def test_orphans_are_removed_unless_they_are_young(redis: Redis, database: Database) -> None:
    del database
    launch.launch(tiny_study())
    artifacts, stages = Artifacts(settings().artifacts), planned().stages
    other = planned(seeds=[7]).stages
    [done, *_] = train(redis, planned(), 1)
    orphan, started, fresh = list(other)[:3]
    for fingerprint in (done, orphan):
        for name in ("trained", "checkpoint"):
            artifacts.save(fingerprint, name, {})
    artifacts.finish(orphan, made_result(orphan, other[orphan]))
    artifacts.save(started, "checkpoint", {})
    training = list(stages)[1]
    artifacts.save(training, "checkpoint", {})
    leftover = Path(settings().artifacts, "weights", training, ".checkpoint.safetensors.0123abcd.part")
    leftover.write_bytes(b"half")
    foreign = Path(settings().artifacts, "notes.txt")
    foreign.write_text("mine")
    make_old()
    artifacts.save(fresh, "trained", {})
    waste = find_waste(settings())
    assert {kind: len(files) for kind, files in waste.files.items()} == {
        "results": 1,
        "weights": 1,
        "checkpoints": 1,
        "checkpoints of finished stages": 2,
        "half-written content": 1,
        "datasets": 0,
    }
    assert waste.young > 0
    removed = reclaim(settings(), waste)
    assert removed == waste.all
    assert saved_stages() == {done, training, fresh}
    assert artifacts.exists(done, "trained")
    assert artifacts.exists(training, "checkpoint")
    assert not artifacts.exists(done, "checkpoint")
    assert foreign.read_text() == "mine"
    assert not leftover.exists()
    assert not Path(settings().artifacts, "weights", orphan).exists()
    assert find_waste(settings()).all == []
    assert len(find_waste(settings(), older=0.0).all) == 1


def test_files_of_a_study_launched_meanwhile_are_not_reclaimed(redis: Redis, database: Database) -> None:
    del database
    launch.launch(tiny_study())
    artifacts, other = Artifacts(settings().artifacts), planned(seeds=[7]).stages
    root = next(iter(other))
    artifacts.save(root, "trained", {})
    artifacts.finish(root, made_result(root, other[root]))
    make_old()
    waste = find_waste(settings())
    assert len(waste.all) == 2
    study_id = launch.launch(tiny_study(seeds=[7]))
    assert reclaim(settings(), waste) == []
    assert leases.states(redis, [root]) == {root: "done"}
    assert artifacts.finished() == {root}
    assert leases.counts(redis, study_id)["done"] == 1


def test_without_a_known_study_nothing_is_reclaimed(redis: Redis, home: Path) -> None:
    del redis
    artifacts, stages = Artifacts(settings().artifacts), planned().stages
    artifacts.save(next(iter(stages)), "trained", {})
    make_old()
    with pytest.raises(RebuildError, match="where the recorder runs"):
        find_waste(settings())
    Database(settings().database).ensure()
    with pytest.raises(RebuildError, match="no study is known"):
        find_waste(settings())
    assert home.exists()


def test_a_launch_waits_for_a_deletion(redis: Redis, database: Database) -> None:
    """The launch must not count on results that are being removed."""
    del database
    study_id = launch.launch(tiny_study())
    train(redis, planned(), len(planned().stages))
    with ThreadPoolExecutor(1) as pool:
        with study_lock(settings()):
            waiting = pool.submit(launch.launch, tiny_study(name="Again"))
            time.sleep(0.5)
            assert not waiting.done()
            forgotten = leases.forget(redis, study_id, "2026-01-01T00:00:00+00:00")
            artifacts = Artifacts(settings().artifacts)
            artifacts.remove(artifacts.all_files())
        again = waiting.result(timeout=20)
    assert forgotten == set(planned().stages)
    assert leases.counts(redis, again)["done"] == 0
    root = next(iter(planned().stages))
    assert leases.claim(redis, Message(root, 2), "w", "host", "cpu", LEASE)
