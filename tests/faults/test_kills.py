"""Processes killed at the worst moments: no epoch is lost or doubled, and the numbers stay the same."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.queries import points
from data.queries.selection import OneStudy
from data.settings import Settings, settings
from engine.study.plan import plan
from engine.study.results import StageResult
from engine.study.spec import Study
from tasks.broker import server
from tasks.queue import leases, telemetry
from tasks.services.up import end_dead_workers
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.faults.undisturbed import numbers
from tests.machine import LEASE_SECONDS, Machine, long_study, tiny_study, wait_for

pytestmark = pytest.mark.faults

# Stages of equal seeds are the same in both, so that each is trained undisturbed once.
STUDY = long_study(epochs=180, train_images=500)
SEVERAL = long_study(epochs=180, train_images=500, name="Several", seeds=[0, 1, 2])
# One that lasts, on a fast machine too, until stages have been queued again and have joined.
SHARED = long_study(epochs=500, train_images=500, name="Shared", seeds=[0, 1, 2, 3])


# Returns the folder of artifacts and the results of a study.
Alone = Callable[[Study], tuple[Path, dict[str, StageResult]]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """Trains a study undisturbed, one stage at a time, and each stage once for all tests."""
    folder = tmp_path_factory.mktemp("alone")
    config = Settings(TICKETSCOPE_HOME=folder / "home", TICKETSCOPE_TOGETHER=1)

    def trained(study: Study) -> tuple[Path, dict[str, StageResult]]:
        plan = plan_study(study, config.home)
        return folder / "artifacts", run(plan, str(folder / "artifacts"), config, ["cpu"], lambda *_: None)

    return trained


def check_against_uninterrupted(machine: Machine, study_id: str, alone: Alone, study: Study = STUDY) -> None:
    """Compare weights, results and recorded rows of a dense study with undisturbed runs of its stages.

    study: the study, or one with some of its seeds, whose stages are compared.
    """
    planned = plan_study(study, machine.config.home)
    folder, undisturbed = alone(study)
    artifacts = Artifacts(machine.config.artifacts)
    recorded = points.epochs(machine.database, OneStudy(study_id))
    stages = leases.members(machine.redis, study_id)
    assert len(recorded) == machine.recorded_epochs(study_id) == study.recipe.epochs * len(stages)
    for fingerprint in planned.stages:
        assert numbers(artifacts.result(fingerprint)) == numbers(undisturbed[fingerprint])
        for name in ("trained", "rewind", "initial"):
            file = Path("weights", fingerprint, f"{name}.safetensors")
            assert (Path(machine.config.artifacts) / file).read_bytes() == (folder / file).read_bytes()
        rows = recorded[recorded["fingerprint"] == fingerprint]
        assert list(rows["epoch"]) == list(range(1, study.recipe.epochs + 1))
        assert list(rows["test_accuracy"]) == [epoch.test_accuracy for epoch in undisturbed[fingerprint].epochs]


def in_training(machine: Machine, study_id: str) -> str:
    """Wait until the only stage of a study trains beyond its first checkpoint, and return its fingerprint."""
    [fingerprint] = leases.members(machine.redis, study_id)
    artifacts = Artifacts(machine.config.artifacts)
    wait_for(lambda: artifacts.exists(fingerprint, "checkpoint"))
    epoch = STUDY.recipe.k + 10
    wait_for(lambda: any(live.epoch > epoch for live in telemetry.progress([fingerprint], machine.redis).values()))
    return fingerprint


def test_another_worker_continues_the_stage_of_a_killed_one_with_the_same_numbers(
    machine: Machine, alone: Alone
) -> None:
    machine.recorder()
    worker = machine.worker()
    study_id = machine.launch(STUDY)
    fingerprint = in_training(machine, study_id)
    worker.kill()
    machine.worker()
    begin = time.monotonic()
    wait_for(lambda: machine.redis.hget(f"ticketscope:stage:{fingerprint}", "attempt") == "2", LEASE_SECONDS + 5.0)
    machine.wait_until(study_id)
    assert time.monotonic() - begin < 30.0
    log = (machine.logs / "worker.log").read_text()
    assert log.count(f"stage {fingerprint} begins") == 2
    check_against_uninterrupted(machine, study_id, alone)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP])
def test_all_concurrent_stages_of_a_lost_worker_are_continued(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, alone: Alone, kind: signal.Signals
) -> None:
    """The worker is killed, or suspended beyond its leases and then resumed."""
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "3")
    machine.recorder()
    study_id = machine.launch(SEVERAL)
    worker = machine.worker()
    fingerprints = leases.members(machine.redis, study_id)
    artifacts = Artifacts(machine.config.artifacts)
    wait_for(lambda: all(artifacts.exists(fingerprint, "checkpoint") for fingerprint in fingerprints))
    worker.send_signal(kind)
    machine.worker()

    def attempts() -> list[str | None]:
        return [machine.redis.hget(f"ticketscope:stage:{fingerprint}", "attempt") for fingerprint in fingerprints]

    wait_for(lambda: attempts() == ["2"] * 3, LEASE_SECONDS + 5.0)
    if kind == signal.SIGSTOP:
        worker.send_signal(signal.SIGCONT)
        wait_for(lambda: (machine.logs / "worker.log").read_text().count("is abandoned: LeaseLost") == 3)
    machine.wait_until(study_id)
    log = (machine.logs / "worker.log").read_text()
    assert all(log.count(f"stage {fingerprint} begins") == 2 for fingerprint in fingerprints)
    check_against_uninterrupted(machine, study_id, alone, SEVERAL)


def test_stages_of_a_dead_worker_join_those_of_a_busy_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, alone: Alone
) -> None:
    """The remaining worker still trains its two stages when a supervisor ends the leases of the dead one."""
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "4")
    machine.recorder()
    workers = [machine.worker(), machine.worker()]
    wait_for(lambda: len(telemetry.workers(machine.redis)) == 2)
    study_id = machine.launch(SHARED)
    fingerprints = leases.members(machine.redis, study_id)
    artifacts = Artifacts(machine.config.artifacts)
    wait_for(lambda: all(artifacts.exists(fingerprint, "checkpoint") for fingerprint in fingerprints))
    [dead] = [worker for worker in telemetry.workers(machine.redis) if worker.pid == workers[0].pid]
    workers[0].kill()
    workers[0].wait()
    # Waiting until the leases end by themselves takes longer than the stages do on a fast machine.
    assert end_dead_workers(machine.redis) == [dead.name]
    wait_for(lambda: any(len(worker.beside) == 3 for worker in telemetry.workers(machine.redis)), 30.0)
    machine.wait_until(study_id)
    log = (machine.logs / "worker.log").read_text()
    twice = {fingerprint for fingerprint in fingerprints if log.count(f"stage {fingerprint} begins") == 2}
    assert twice == {dead.stage, *dead.beside}
    # One that was continued elsewhere.
    assert dead.stage is not None
    seed = plan_study(SHARED, machine.config.home).stages[dead.stage].seed
    check_against_uninterrupted(machine, study_id, alone, SHARED.model_copy(update={"seeds": (seed,)}))


def test_a_worker_that_was_suspended_beyond_its_lease_writes_nothing_more(machine: Machine, alone: Alone) -> None:
    machine.recorder()
    suspended = machine.worker()
    study_id = machine.launch(STUDY)
    fingerprint = in_training(machine, study_id)
    suspended.send_signal(signal.SIGSTOP)
    machine.worker()
    wait_for(lambda: machine.redis.hget(f"ticketscope:stage:{fingerprint}", "attempt") == "2", LEASE_SECONDS + 5.0)
    wait_for(lambda: telemetry.progress([fingerprint], machine.redis))
    suspended.send_signal(signal.SIGCONT)
    wait_for(lambda: f"stage {fingerprint} is abandoned: LeaseLost" in (machine.logs / "worker.log").read_text())
    machine.wait_until(study_id)
    check_against_uninterrupted(machine, study_id, alone)


def test_a_recorder_killed_repeatedly_loses_and_doubles_no_row(machine: Machine) -> None:
    machine.worker()
    study = tiny_study(seeds=[0, 1, 2, 3], recipe={"epochs": 30, "batch_size": 20, "augmentation": "none"})
    study_id = machine.launch(study)
    for _ in range(3):
        recorder = machine.recorder()
        # By then the recorder has started, and reads, writes or acknowledges.
        time.sleep(2.2)
        recorder.kill()
        recorder.wait()
    machine.recorder()
    machine.wait_until(study_id)
    planned = plan_study(study, machine.config.home)
    assert machine.recorded_epochs(study_id) == sum(stage.epochs for stage in planned.stages.values())
    assert len(points.accuracy(machine.database, OneStudy(study_id))) == len(planned.roles)
    artifacts = Artifacts(machine.config.artifacts)
    counts = sum(len(o.counts) for f in planned.stages for o in getattr(artifacts.result(f), "overlaps", ()))
    with machine.database.reading() as connection:
        query = "SELECT sum(1) FROM overlap_counts JOIN study_stages USING (fingerprint) WHERE study_id = ?"
        assert connection.execute(query, [study_id]).fetchone() == (counts,)


def test_workers_wait_for_a_redis_that_was_killed_during_a_stage(machine: Machine, alone: Alone) -> None:
    machine.recorder()
    machine.worker()
    study_id = machine.launch(STUDY)
    in_training(machine, study_id)
    os.kill(int(machine.redis.info("server")["process_id"]), signal.SIGKILL)
    time.sleep(0.5)
    server.ensure(settings())
    machine.wait_until(study_id)
    check_against_uninterrupted(machine, study_id, alone)
    # Celery has connected again too.
    machine.wait_until(machine.launch(tiny_study()))


def test_a_result_that_a_dead_worker_saved_is_not_trained_again(machine: Machine) -> None:
    machine.recorder()
    planned = plan(STUDY, {"digits": plan_study(STUDY, machine.config.home).stages.popitem()[1].images.identity})
    study_id = machine.launch(STUDY)
    # Such a worker leaves a claimed stage whose result is saved and whose lease expires.
    message = leases.Message(next(iter(planned.stages)), 1)
    assert leases.claim(machine.redis, message, "dead", "host", "cpu", LEASE_SECONDS)
    run(planned, machine.config.artifacts, machine.config, ["cpu"], lambda *_: None)
    machine.worker()
    machine.wait_until(study_id)
    assert f"stage {message.fingerprint} begins" not in (machine.logs / "worker.log").read_text()
    launch.retry(study_id)
    assert leases.counts(machine.redis, study_id) == {"done": 1}
