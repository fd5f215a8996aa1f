"""Rebuilding restores in Redis and the database what one of them has lost, and changes nothing else."""

from pathlib import Path

import pytest
from redis import Redis

from data.artifacts.store import Artifacts
from data.database import backup
from data.database.database import Database
from data.queries import points, results, studies
from data.queries.selection import OneStudy
from data.settings import Settings, settings
from engine.study.plan import Plan
from tasks.queue import leases, scripts, telemetry
from tasks.queue.leases import Message
from tasks.services import recorder
from tasks.studies import launch
from tasks.studies import rebuild as rebuilding
from tasks.studies.planning import plan_study
from tasks.studies.rebuild import ATTEMPTS_BEYOND, RebuildError, rebuild
from tests.data.made_results import contents, made_result
from tests.machine import tiny_study

LEASE = 20.0


def planned(**changes: object) -> Plan:
    return plan_study(tiny_study(**changes), settings().home)


def train(redis: Redis, plan: Plan, count: int) -> list[str]:
    """Finish a number of stages of a plan as workers would, and return their fingerprints."""
    artifacts, trained = Artifacts(settings().artifacts), []
    while len(trained) < count:
        states = leases.states(redis, list(plan.stages))
        fingerprint = next(key for key, state in states.items() if state == "queued")
        message = claimed(redis, fingerprint)
        result = made_result(fingerprint, plan.stages[fingerprint])
        leases.renew(redis, message, LEASE, result.epochs)
        artifacts.finish(fingerprint, result)
        leases.done(redis, message, result)
        trained.append(fingerprint)
    return trained


def claimed(redis: Redis, fingerprint: str) -> Message:
    attempt = int(str(redis.hget(f"{scripts.PREFIX}stage:{fingerprint}", "attempt")))
    message = Message(fingerprint, attempt)
    assert leases.claim(redis, message, "laptop:7", "laptop", "cpu", LEASE)
    return message


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the database, less the times and order of events."""
    # A rebuild publishes launches again, later than before.
    tables = {**contents(database.path), "launches": []}
    tables["states"] = sorted((row[0], row[1]) for row in tables["states"])
    return tables


def test_rebuild_does_nothing_where_redis_and_database_agree(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    train(redis, planned(), 3)
    recorder.drain_idle(settings())
    before, last = contents(database.path), telemetry.last_event(redis)
    assert rebuild(settings()) == []
    assert telemetry.last_event(redis) == last
    assert contents(database.path) == before
    assert studies.study(database, study_id).counts["done"] == 3


def test_rebuild_restores_a_lost_redis(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    trained = train(redis, planned(), 2)
    running = next(key for key, state in leases.states(redis, list(planned().stages)).items() if state == "queued")
    held = claimed(redis, running)
    recorder.drain_idle(settings())
    launched, before = leases.launched(redis, study_id), rows(database)
    redis.flushall()
    [rebuilt] = rebuild(settings())
    assert rebuilt.study_id == study_id
    assert "2 done" in rebuilt.what
    assert leases.launched(redis, study_id) == launched
    states = leases.states(redis, list(planned().stages))
    assert {key for key, state in states.items() if state == "done"} == set(trained)
    assert states[running] == "queued"
    # A worker that still trains for the old Redis has lost its lease.
    with pytest.raises(leases.LeaseLost):
        leases.renew(redis, held, LEASE)
    assert leases.claim(redis, held, "laptop:7", "laptop", "cpu", LEASE) is None
    assert redis.hget(f"{scripts.PREFIX}stage:{running}", "attempt") == str(held.attempt + ATTEMPTS_BEYOND)
    after = rows(database)
    assert {k: after[k] for k in after if k != "states"} == {k: before[k] for k in after if k != "states"}
    assert rebuild(settings()) == []
    train(redis, planned(), len(planned().stages) - 2)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).state == "done"
    assert len(points.accuracy(database, OneStudy(study_id))) == len(planned().roles)


def test_failed_and_cancelled_stages_stay_so_after_rebuild(redis: Redis, database: Database) -> None:
    failed_id = launch.launch(tiny_study())
    [root, *_] = train(redis, planned(), 1)
    failing = next(key for key, state in leases.states(redis, list(planned().stages)).items() if state == "queued")
    leases.fail(redis, claimed(redis, failing), "ValueError: no luck", retry=False)
    cancelled_id = launch.launch(tiny_study(seeds=[1]))
    launch.cancel(cancelled_id)
    recorder.drain_idle(settings())
    before = contents(database.path)["states"]
    counts = {study_id: leases.counts(redis, study_id) for study_id in (failed_id, cancelled_id)}
    redis.flushall()
    assert {rebuilt.study_id for rebuilt in rebuild(settings())} == {failed_id, cancelled_id}
    assert {study_id: leases.counts(redis, study_id) for study_id in counts} == counts
    assert leases.is_cancelled(redis, cancelled_id)
    assert leases.states(redis, [failing, root]) == {failing: "failed", root: "done"}
    after = {row[0]: row for row in contents(database.path)["states"]}
    # Neither the worker nor the times of a stage are lost.
    assert [row for row in before if row[1] in ("failed", "cancelled", "done") and after[row[0]] != row] == []
    launch.retry(failed_id)
    assert leases.counts(redis, failed_id)["failed"] == 0
    launch.retry(cancelled_id)
    assert leases.counts(redis, cancelled_id)["cancelled"] == 0


def test_rebuild_records_results_that_were_never_recorded(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    [root] = train(redis, planned(), 1)
    redis.flushall()
    rebuild(settings())
    assert leases.states(redis, [root]) == {root: "done"}
    assert studies.study(database, study_id).counts["done"] == 1
    assert results.recorded(database) == {root}
    assert len(points.epochs(database, OneStudy(study_id))) == 4


def test_rebuild_completes_a_restored_database(redis: Redis, database: Database, tmp_path: Path) -> None:
    known = launch.launch(tiny_study())
    train(redis, planned(), 2)
    recorder.drain_idle(settings())
    backup.backup(database, tmp_path / "copy.duckdb")
    train(redis, planned(), 2)
    unknown = launch.launch(tiny_study(seeds=[0, 1]))
    train(redis, planned(seeds=[1]), 1)
    ended = launch.launch(tiny_study(seeds=[2]))
    launch.cancel(ended)
    recorder.drain_idle(settings())
    before = rows(database)
    backup.restore(database, tmp_path / "copy.duckdb")
    assert list(studies.studies(database)["study_id"]) == [known]
    # Stages that several studies share are reported with the first of them.
    assert {unknown, ended} <= {study.study_id for study in rebuild(settings())} <= {known, unknown, ended}
    after = rows(database)
    # The time of a cancellation is lost, since only the newer database had it.
    assert {**after, "cancellations": []} == {**before, "cancellations": []}
    assert studies.study(database, ended).state == "cancelled"
    assert rebuild(settings()) == []


def test_a_lost_study_whose_stages_all_change_meanwhile_is_reported(
    redis: Redis, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.launch(tiny_study(name="In the copy", seeds=[7], pruners=[], sparsities=[], starts=[]))
    recorder.drain_idle(settings())
    backup.backup(database, tmp_path / "copy.duckdb")
    study_id = launch.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
    recorder.drain_idle(settings())
    backup.restore(database, tmp_path / "copy.duckdb")
    waits, waited = rebuilding.require_recorded, []

    def trains_meanwhile(config: Settings, client: Redis) -> None:
        # The first wait is before all studies, the second between two looks at the states of this one.
        waited.append(config)
        if len(waited) == 2:
            train(redis, planned(pruners=[], sparsities=[], starts=[]), 1)
        waits(config, client)

    monkeypatch.setattr(rebuilding, "require_recorded", trains_meanwhile)
    [reported] = rebuild(settings())
    assert reported.study_id == study_id
    assert studies.study(database, study_id).state == "done"
    assert rebuild(settings()) == []


def test_later_events_win_although_an_earlier_clock_was_ahead(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    recorder.drain_idle(settings())
    ahead = "9999999999999"
    with database.writing() as connection:
        connection.execute("UPDATE states SET revision = ?", [f"{int(ahead):020d}-{7:020d}"])
    redis.flushall()
    rebuild(settings())
    assert telemetry.last_event(redis).startswith(ahead)
    train(redis, planned(), 1)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).counts["done"] == 1


def test_stages_without_files_are_trained_again_only_where_they_are_needed(redis: Redis, database: Database) -> None:
    study_id = launch.launch(tiny_study())
    trained = train(redis, planned(), len(planned().stages))
    recorder.drain_idle(settings())
    artifacts = Artifacts(settings().artifacts)
    artifacts.remove(artifacts.all_files())
    redis.flushall()
    rebuild(settings())
    assert leases.counts(redis, study_id) == {"done": len(trained)}
    # An unfinished stage needs its parent and its root again, and nothing else.
    stages = planned().stages
    leaf = next(key for key, stage in stages.items() if stage.parent not in (None, trained[0]))
    with database.writing() as connection:
        connection.execute("UPDATE states SET state = 'running' WHERE fingerprint = ?", [leaf])
        connection.execute("DELETE FROM results WHERE fingerprint = ?", [leaf])
    redis.flushall()
    rebuild(settings())
    again = {key for key, state in leases.states(redis, trained).items() if state != "done"}
    assert again == {leaf, stages[leaf].parent, stages[leaf].root}


def test_stages_of_another_engine_version_fail_instead_of_being_trained(
    redis: Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = launch.launch(tiny_study())
    [root] = train(redis, planned(), 1)
    recorder.drain_idle(settings())
    redis.flushall()
    monkeypatch.setattr("engine.study.plan.ENGINE_VERSION", 999)
    rebuild(settings())
    counts = leases.counts(redis, study_id)
    assert counts["done"] == 1
    assert counts["failed"] == counts.total() - 1
    assert leases.states(redis, [root]) == {root: "done"}
    failed = studies.stages(database, study_id).query("state == 'failed'")
    assert "another version of the engine" in failed["error"].iloc[0]


def test_without_a_database_rebuild_creates_nothing(redis: Redis, home: Path) -> None:
    del redis
    with pytest.raises(RebuildError, match="where the recorder runs"):
        rebuild(settings())
    assert not list(home.glob("*.duckdb"))
