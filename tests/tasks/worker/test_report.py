"""What a worker logs of its stages, as a reader of the log sees it."""

import time

import pytest

from engine.study.results import Epoch, StageResult
from tasks import progress
from tasks.broker.connection import BrokerError
from tasks.queue.leases import Message
from tasks.worker import report as reports
from tasks.worker.report import Report
from tests.machine import wait_for
from tests.tasks.queue.test_leases import tiny_plan


def test_a_stage_is_named_when_it_begins_and_ends_and_idling_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LEAST", 0.0)
    monkeypatch.setattr(progress, "MOST", 0.6)
    monkeypatch.setattr(progress, "STEP", 0.02)
    monkeypatch.setattr(reports, "IDLE_AFTER", 0.2)
    [first, second, *_] = tiny_plan().stages.values()
    written: list[str] = []
    report = Report(lambda: 3, written.append)
    message = Message(first.fingerprint, 2)
    with report.running():
        report.begins(message, first)
        for epoch in (1, 2):
            report.epoch(first.fingerprint, epoch)
            time.sleep(0.4)
        # A minute without an event has a line.
        wait_for(lambda: len(written) >= 2)
        result = StageResult(first.fingerprint, (Epoch(4, 0.1, 2.0, 50.0, 2.0, 50.0, 0.1),), 0.0, 62.0, "cpu")
        report.done(message, first, result)
        report.begins(Message(second.fingerprint, 1), second)
        report.failed(Message(second.fingerprint, 1), second, RuntimeError("no memory\nfor it"))
        report.free()
        wait_for(lambda: written[-1].startswith("idle: "))
        time.sleep(0.7)
    name = progress.name(first)
    begun, minute = written[:2]
    assert begun.startswith(f"begins, attempt 2: {name} ({first.fingerprint[:10]}); 1 in training, epoch ")
    assert minute.startswith("1 in training, epoch 2 of 4, about 1 s left, done about ")
    assert minute.endswith(", 0 done since the start, 3 in the queue")
    [done] = [line for line in written if line.startswith("done: ")]
    assert done.startswith(f"done: {name}: 50.00 % in 1 min 02 s ({first.fingerprint[:10]}); ")
    failed, idle = written[-2:]
    assert failed.startswith(f"failed: {progress.name(second)}: no memory ({second.fingerprint[:10]}); 1 done")
    # An idle worker writes no lines of a minute.
    assert idle == "idle: no stage waits for this worker; 1 done since its start"


def test_idling_is_said_after_all_that_ended_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LEAST", 0.1)
    monkeypatch.setattr(progress, "STEP", 0.02)
    monkeypatch.setattr(reports, "IDLE_AFTER", 0.0)
    written: list[str] = []
    stages = list(tiny_plan().stages.values())[:4]
    report = Report(lambda: 0, written.append)
    for stage in stages:
        report.begins(Message(stage.fingerprint, 1), stage)
        report.failed(Message(stage.fingerprint, 1), stage, RuntimeError("no memory"))
    report.free()
    with report.running():
        wait_for(lambda: any(line.startswith("idle: ") for line in written))
    assert [line.split(":")[0] for line in written] == ["begins", "failed"] * len(stages) + ["idle"]
    assert all(line.endswith("0 done since the start, 0 in the queue") for line in written[:-1])


def test_a_queue_that_cannot_be_counted_is_left_out() -> None:
    def queued() -> int:
        raise BrokerError("Redis is not running")

    written: list[str] = []
    stage = next(iter(tiny_plan().stages.values()))
    with (report := Report(queued, written.append)).running():
        report.begins(Message(stage.fingerprint, 1), stage)
    assert written[0].endswith("; 1 in training, epoch 0 of 4, 0 done since the start")
