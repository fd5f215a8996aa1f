"""Whole studies through real processes: Redis, Celery workers, the recorder and DuckDB."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data import parquet
from data.artifacts.store import Artifacts
from data.queries import points, studies
from data.queries.selection import OneStudy
from data.settings import settings
from engine.study.spec import to_toml
from tasks.queue import leases, telemetry
from tasks.studies import launch
from tasks.studies.planning import plan_study, preview
from tasks.worker.local import run
from tests.machine import Machine, diverging_study, folder_of_images, long_study, tiny_study, wait_for
from tests.tasks.conftest import Command


def starts(machine: Machine, fingerprints: list[str]) -> list[int]:
    """Return how often workers started each of some stages."""
    log = (machine.logs / "worker.log").read_text()
    return [log.count(f"stage {fingerprint} begins") for fingerprint in fingerprints]


def test_a_study_on_workers_has_the_results_of_run(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    machine.worker()
    machine.worker()
    study = tiny_study()
    study_id = machine.launch(study)
    machine.wait_until(study_id)
    plan = plan_study(study, machine.config.home)
    alone = run(plan, str(tmp_path / "alone"), machine.config, ["cpu"], lambda *_: None)
    expected = parquet.tables_from_results(plan, alone)
    recorded = parquet.tables_from_database(machine.database, study_id)
    assert set(recorded) == {"accuracy", "overlap", "epochs", "claims"}
    for name, table in recorded.items():
        clock = [column for column in table.column_names if column == "seconds"]
        assert table.num_rows > 0
        assert table.drop_columns(clock).equals(expected[name].drop_columns(clock))
    stages = studies.stages(machine.database, study_id)
    assert set(stages["state"]) == {"done"}
    assert set(stages["attempt"]) == {1}
    assert stages[["worker", "host", "device", "started_at", "finished_at", "seconds"]].notna().all().all()
    assert machine.redis.xlen(telemetry.EVENTS) == 0
    assert starts(machine, list(plan.stages)) == [1] * 7
    # The same study launched again is done at once, without a single training.
    again = machine.launch(study)
    machine.wait_until(again)
    assert studies.study(machine.database, again).counts["done"] == 7
    assert starts(machine, list(plan.stages)) == [1] * 7


def test_stages_trained_side_by_side_have_the_results_of_run(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "4")
    study = tiny_study(seeds=[0, 1, 2], recipe={"epochs": 3, "batch_size": 32})
    study_id = machine.launch(study)
    machine.recorder()
    machine.worker()
    machine.wait_until(study_id)
    plan = plan_study(study, machine.config.home)
    alone = run(plan, str(tmp_path / "alone"), machine.config, ["cpu"], lambda *_: None)
    expected, recorded = (
        parquet.tables_from_results(plan, alone),
        parquet.tables_from_database(machine.database, study_id),
    )
    for name in ("accuracy", "overlap"):
        clock = [column for column in recorded[name].column_names if column == "seconds"]
        assert recorded[name].drop_columns(clock).equals(expected[name].drop_columns(clock))
    assert set(studies.stages(machine.database, study_id)["attempt"]) == {1}
    assert starts(machine, list(plan.stages)) == [1] * len(plan.stages)
    # All three dense trainings began before the first was done.
    stages = studies.stages(machine.database, study_id)
    dense = stages[stages["kind"] == "pretrain"]
    assert len(dense) == 3
    assert dense["started_at"].max() < dense["finished_at"].min()
    # The log names stages, at most one a second, so that a line may come later than what it tells.
    log = machine.logs / "worker.log"
    named = r"lenet300 on digits, lr 0.1, seed \d, .*, 3 epochs"
    wait_for(lambda: re.search(rf" begins: {named} \([0-9a-f]{{10}}\); ", log.read_text()))
    done = rf" done: {named}: \d+\.\d\d % in [^(]+ \([0-9a-f]{{10}}\); "
    wait_for(lambda: re.search(done, log.read_text()))


def test_studies_launched_at_the_same_time_share_their_stages(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    machine.worker()
    machine.worker()
    files = []
    for pruner in ("iterative", "oneshot"):
        file = tmp_path / f"{pruner}.toml"
        file.write_text(to_toml(tiny_study(name=pruner, pruners=[pruner], seeds=[0, 1])))
        files.append(str(file))
    with ThreadPoolExecutor(2) as pool:
        launched = [pool.submit(machine.start, "-m", "tasks", "launch", file, "--wait", log=file) for file in files]
        assert [future.result().wait(timeout=90.0) for future in launched] == [0, 0]
    study = tiny_study(pruners=["iterative", "oneshot"], seeds=[0, 1])
    plan = plan_study(study, machine.config.home)
    assert starts(machine, list(plan.stages)) == [1] * len(plan.stages)
    assert set(studies.studies(machine.database)["state"]) == {"done"}


def test_a_cancelled_study_stops_and_a_retry_resumes_from_its_checkpoint(machine: Machine) -> None:
    machine.recorder()
    machine.worker()
    study_id = machine.launch(long_study(epochs=4000, recipe={"epochs": 4000, "batch_size": 32, "rewind_epoch": 5}))
    [fingerprint] = leases.members(machine.redis, study_id)
    wait_for(lambda: machine.recorded_epochs(study_id) >= 5)
    assert launch.cancel(study_id) == 1
    machine.wait_until(study_id, "cancelled")
    # The worker notices by its next epoch, and is free again long before the training would have ended.
    wait_for(lambda: all(worker.stage is None for worker in telemetry.workers(machine.redis)), 15.0)
    assert telemetry.progress(redis=machine.redis) == {}
    launch.retry(study_id)
    wait_for(lambda: telemetry.progress([fingerprint], machine.redis))
    assert telemetry.progress([fingerprint], machine.redis)[fingerprint].epoch > 5
    machine.wait_until(study_id, "running")
    launch.cancel(study_id)


def test_a_failed_stage_has_its_error_and_can_be_retried(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    images = folder_of_images(tmp_path / "images")
    study = tiny_study(
        datasets=["digits", f"folder:{images}"], train_images=None, test_images=None, pruners=["oneshot"]
    )
    study_id = machine.launch(study)
    hidden = images.rename(tmp_path / "hidden")
    # The cached images are removed too, as on another host.
    shutil.rmtree(machine.config.datasets, ignore_errors=True)
    machine.worker()
    machine.wait_until(study_id, "failed")
    stages = studies.stages(machine.database, study_id)
    failed = stages[stages["state"] == "failed"]
    assert list(failed["kind"]) == ["pretrain"]
    assert list(failed["attempt"]) == [3]
    assert str(images) in failed["error"].iloc[0]
    assert "Traceback" in failed["error"].iloc[0]
    assert list(stages[stages["dataset"] == "digits"]["state"].unique()) == ["done"]
    hidden.rename(images)
    launch.retry(study_id)
    machine.wait_until(study_id)


def test_a_diverged_rate_is_done_and_does_not_affect_the_other(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    machine.worker()
    machine.worker()
    study = diverging_study()
    study_id = machine.launch(study)
    machine.wait_until(study_id)
    plan = plan_study(study, machine.config.home)
    stages = studies.stages(machine.database, study_id)
    assert set(stages["state"]) == {"done"}
    assert set(stages["attempt"]) == {1}
    assert starts(machine, list(plan.stages)) == [1] * 14
    # Diverged stages have no weights, stages made from them were not trained, and the other rate is complete.
    assert sorted(stages[stages["learning_rate"] == 10.0]["diverged"]) == [0] * 6 + [1]
    artifacts = Artifacts(machine.config.artifacts)
    for fingerprint, stage in plan.stages.items():
        assert artifacts.exists(fingerprint, "trained") == (stage.learning_rate == 0.1)
        assert not artifacts.exists(fingerprint, "checkpoint")
    roles = [role.fingerprint for role in plan.roles if role.learning_rate == 0.1]
    assert list(points.accuracy(machine.database, OneStudy(study_id))["fingerprint"]) == roles
    # The tables are those of `run`.
    alone = run(plan, str(tmp_path / "alone"), machine.config, ["cpu"], lambda *_: None)
    expected = parquet.tables_from_results(plan, alone)
    for name, table in parquet.tables_from_database(machine.database, study_id).items():
        clock = [column for column in table.column_names if column == "seconds"]
        assert table.drop_columns(clock).equals(expected[name].drop_columns(clock)), name
    # Nothing is left to retry, and the study launched again is done at once.
    launch.retry(study_id)
    machine.wait_until(machine.launch(study))
    assert starts(machine, list(plan.stages)) == [1] * 14


def test_a_study_trained_by_run_is_launched_with_its_results(machine: Machine) -> None:
    study = tiny_study()
    plan = plan_study(study, machine.config.home)
    run(plan, machine.config.artifacts, machine.config, ["cpu"], lambda *_: None)
    assert preview(study).reused == 7
    machine.recorder()
    study_id = machine.launch(study)
    machine.wait_until(study_id, seconds=10.0)
    assert len(points.accuracy(machine.database, OneStudy(study_id))) == len(plan.roles)
    # A stage without its result is the only one that is trained again.
    [root] = [fingerprint for fingerprint, stage in plan.stages.items() if stage.kind == "pretrain"]
    Path(machine.config.artifacts, "results", f"{root}.json").unlink()
    again = machine.launch(study)
    assert leases.counts(machine.redis, again) == {"done": 6, "queued": 1}


@pytest.mark.faults
def test_a_worker_that_is_terminated_returns_its_stage(machine: Machine) -> None:
    machine.recorder()
    worker = machine.worker()
    study_id = machine.launch(long_study(epochs=4000))
    [fingerprint] = leases.members(machine.redis, study_id)
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    # Slurm signals all processes of a job: the worker, and its parent, which passes the signal on.
    worker.terminate()
    worker.terminate()
    assert worker.wait(timeout=90.0) == 0
    assert leases.states(machine.redis, [fingerprint])[fingerprint] == "queued"
    assert telemetry.workers(machine.redis) == []
    assert Artifacts(settings().artifacts).exists(fingerprint, "checkpoint")
    reached = wait_for(lambda: machine.recorded_epochs(study_id))
    machine.worker()
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    assert telemetry.progress(redis=machine.redis)[fingerprint].epoch > reached
    launch.cancel(study_id)


def test_a_worker_with_another_engine_version_trains_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.recorder()
    with monkeypatch.context() as older:
        older.setattr("engine.study.plan.ENGINE_VERSION", 0)
        study_id = machine.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
    machine.worker()
    machine.wait_until(study_id, "failed")
    [stage] = studies.stages(machine.database, study_id).itertuples()
    assert stage.attempt == 1
    assert "bring all hosts to one version, then launch the study again" in stage.error
    assert not Artifacts(machine.config.artifacts).finished()


@pytest.mark.faults
def test_a_terminated_host_returns_its_stage_within_one_epoch(machine: Machine) -> None:
    machine.recorder()
    crew = ("-m", "tasks", "worker", "--processes", "1", "--device", "cpu")
    first = machine.start(*crew, log="worker")
    # Each epoch is long enough to be reported, and much longer than a signal takes.
    recipe = {"epochs": 500, "batch_size": 1, "rewind_epoch": 1}
    study_id = machine.launch(long_study(epochs=500, learning_rates=[0.001], recipe=recipe))
    [fingerprint] = leases.members(machine.redis, study_id)
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    first.terminate()
    at = telemetry.progress(redis=machine.redis)[fingerprint].epoch
    assert first.wait(timeout=90.0) == 0
    assert leases.states(machine.redis, [fingerprint])[fingerprint] == "queued"
    assert telemetry.workers(machine.redis) == []
    assert "does not stop in time" not in (machine.logs / "worker.log").read_text()
    reached = int(Artifacts(settings().artifacts).load(fingerprint, "checkpoint")["history"].shape[0])
    assert 1 <= reached <= at + 1
    wait_for(lambda: machine.recorded_epochs(study_id) == reached)
    second = machine.start(*crew, log="worker")
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    assert telemetry.progress(redis=machine.redis)[fingerprint].epoch > reached
    launch.cancel(study_id)
    second.terminate()
    assert second.wait(timeout=90.0) == 0


def test_one_of_two_equal_studies_is_cancelled_for_good_while_the_other_is_trained(
    machine: Machine, command: Command
) -> None:
    machine.recorder()
    first, second = machine.launch(tiny_study(name="First")), machine.launch(tiny_study(name="Second"))
    _, output, _ = command("cancel", second)
    assert f"cancelled 0 stages of {second}" in output
    assert "7 stages of it that another study needs will be trained all the same" in output
    machine.wait_until(second, "cancelled")
    machine.worker()
    machine.wait_until(first)
    assert studies.study(machine.database, second).state == "cancelled"
    code, _, error = command("cancel", first)
    assert code == 2
    assert "are done, so there is nothing to cancel" in error
    assert studies.study(machine.database, first).state == "done"
    assert command("retry", second)[0] == 0
    machine.wait_until(second)
