"""The recorder writes every event of the stream to DuckDB once, whichever process is killed."""

import threading

import pytest
from redis import Redis

from data.database.database import Database
from data.queries import studies
from data.settings import settings
from tasks.queue import leases, telemetry
from tasks.queue.timing import Timing
from tasks.services import recorder
from tasks.studies import launch
from tests.machine import Machine, notebook, tiny_study, wait_for
from tests.tasks.queue.test_leases import LEASE, claim, result, row


def rows(database: Database, table: str) -> int:
    with database.reading() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


def launched(redis: Redis) -> tuple[str, leases.Message]:
    """Launch a study, report two epochs of its root as a worker would, and return its id and the root's message."""
    study_id = launch.launch(tiny_study())
    [message] = [
        leases.Message(fingerprint, 1)
        for fingerprint, state in leases.states(redis, leases.members(redis, study_id)).items()
        if state == "queued"
    ]
    assert claim(redis, message)
    leases.renew(redis, message, LEASE, [row(1)])
    leases.renew(redis, message, LEASE, [row(2)])
    return study_id, message


def test_every_event_is_recorded_acknowledged_and_trimmed(redis: Redis, database: Database) -> None:
    study_id, message = launched(redis)
    leases.done(redis, message, result(message.fingerprint))
    recorder.drain_idle(settings())
    record = studies.study(database, study_id)
    assert record.counts["done"] == 1
    assert record.counts["queued"] + record.counts["waiting"] == len(studies.stages(database, study_id)) - 1
    assert rows(database, "epochs") == 2
    assert redis.xlen(telemetry.EVENTS) == 0
    assert redis.xpending(telemetry.EVENTS, recorder.GROUP)["pending"] == 0


def test_events_read_by_a_dead_recorder_are_recorded(redis: Redis, database: Database) -> None:
    study_id, _ = launched(redis)
    redis.xgroup_create(telemetry.EVENTS, recorder.GROUP, id="0")
    redis.xreadgroup(recorder.GROUP, recorder.CONSUMER, {telemetry.EVENTS: ">"}, count=5)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).counts["running"] == 1
    assert rows(database, "epochs") == 2
    assert redis.xlen(telemetry.EVENTS) == 0


def test_events_of_a_lost_answer_are_not_trimmed_unrecorded(redis: Redis, database: Database) -> None:
    study_id, message = launched(redis)
    redis.xgroup_create(telemetry.EVENTS, recorder.GROUP, id="0")
    # The client asks again, since the first answer, which held all events so far, was lost.
    redis.xreadgroup(recorder.GROUP, recorder.CONSUMER, {telemetry.EVENTS: ">"})
    leases.renew(redis, message, LEASE, [row(3)])
    assert recorder.drain(redis, database, pending=False, block=None) == 1
    assert studies.study(database, study_id).counts["running"] == 1
    assert rows(database, "epochs") == 3
    assert redis.xlen(telemetry.EVENTS) == 0
    assert redis.xpending(telemetry.EVENTS, recorder.GROUP)["pending"] == 0


def test_repeated_events_are_recorded_once(redis: Redis, database: Database) -> None:
    _, message = launched(redis)
    leases.renew(redis, message, LEASE, [row(1), row(2)])
    recorder.drain_idle(settings())
    leases.renew(redis, message, LEASE, [row(2)])
    recorder.drain_idle(settings())
    assert rows(database, "epochs") == 2


def test_a_bad_event_does_not_block_the_others(redis: Redis, database: Database) -> None:
    redis.xadd(telemetry.EVENTS, {"kind": "rumour", "body": "{}"})
    redis.xadd(telemetry.EVENTS, {"kind": "stage", "body": "not JSON"})
    study_id, _ = launched(redis)
    recorder.drain_idle(settings())
    assert studies.study(database, study_id).counts["running"] == 1
    refused = [fields for _, fields in redis.xrange(recorder.REFUSED)]
    assert {fields["kind"] for fields in refused} == {"rumour", "stage"}
    assert all(fields["error"] for fields in refused)


def test_a_second_recorder_of_a_home_waits_for_the_first(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    first = machine.recorder()
    wait_for(lambda: "recording into" in (machine.logs / "recorder.log").read_text())
    stopping = threading.Event()
    second = threading.Thread(target=recorder.record, args=(machine.config, Timing(), stopping))
    second.start()
    wait_for(lambda: [record for record in caplog.records if record.name == recorder.__name__])
    study_id = machine.launch(tiny_study())
    machine.wait_until(study_id, "queued")
    assert first.poll() is None
    assert second.is_alive()
    stopping.set()
    second.join(timeout=3.0)
    assert not second.is_alive()


@pytest.mark.parametrize("read_only", [True, False], ids=["reads", "writes"])
def test_the_recorder_waits_for_a_notebook_and_loses_nothing(
    machine: Machine, database: Database, read_only: bool
) -> None:
    with notebook(database.path, read_only) as program:
        # It also starts beside one.
        recorder_process = machine.recorder()
        study_id, message = launched(machine.redis)
        leases.done(machine.redis, message, result(message.fingerprint))
        wait_for(lambda: f"process {program.pid}" in (machine.logs / "recorder.log").read_text())
        waiting = machine.redis.xlen(telemetry.EVENTS)
        assert waiting > 0
    wait_for(lambda: machine.redis.xlen(telemetry.EVENTS) == 0)
    assert recorder_process.poll() is None
    assert machine.recorded_epochs(study_id) == 2
    assert rows(database, "results") == 1
    log = (machine.logs / "recorder.log").read_text()
    assert "Traceback" not in log
    assert log.count("is in use by") == 1
