"""A lost Redis or database is restored from what remains, with the same numbers."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.database import backup
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy
from data.settings import Settings, settings
from tasks.broker import connection
from tasks.broker.server import serving
from tasks.process import ROOT, python
from tasks.queue import celery_app, leases
from tasks.services import recorder
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.studies.rebuild import rebuild
from tasks.worker.local import run
from tests.faults.undisturbed import differing_files, differing_rows, numbers
from tests.machine import Machine, alive, tiny_study, wait_for

pytestmark = pytest.mark.faults

STUDY = tiny_study(seeds=[0, 1], recipe={"epochs": 15, "batch_size": 20, "augmentation": "none"})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of artifacts of the same study undisturbed."""
    folder = tmp_path_factory.mktemp("alone")
    config = Settings(TICKETSCOPE_HOME=folder / "home")
    run(plan_study(STUDY, config.home), str(folder / "artifacts"), config, ["cpu"], lambda *_: None)
    return folder / "artifacts"


def check(machine: Machine, study_id: str, alone: Path, folder: Path) -> None:
    """Compare artifacts and rows of the study with those of the undisturbed one, which another database records."""
    assert differing_files(Path(machine.config.artifacts), alone)[1] == []
    with_redis = settings()
    recorder.drain_idle(with_redis)
    # Another database records the study from the undisturbed artifacts alone.
    home = folder / "undisturbed"
    config = with_redis.model_copy(update={"home": home, "artifacts": str(alone)})
    home.mkdir()
    with serving(config):
        redis = connection.client(config)
        body = leases.launched(machine.redis, study_id)
        assert body is not None
        plan = plan_study(STUDY, machine.config.home)
        launch.publish_results(redis, Artifacts(str(alone)), plan.stages)
        leases.register(redis, "alone", {**body, "study_id": "alone"}, list(plan.stages.values()), set(plan.stages))
        recorder.drain_idle(config)
        redis.close()
    assert {
        name: count for name, (_, count) in differing_rows(machine.database.path, config.database).items() if count
    } == {}


def half_done(machine: Machine) -> tuple[str, set[str]]:
    """Launch the study, wait until a part of it is done, and return its id and the finished stages."""
    machine.recorder()
    machine.worker()
    study_id = machine.launch(STUDY)
    wait_for(lambda: machine.recorded_done(study_id) >= 3)
    return study_id, Artifacts(machine.config.artifacts).finished()


def begins(machine: Machine, fingerprint: str) -> int:
    return (machine.logs / "worker.log").read_text().count(f"stage {fingerprint} begins")


def test_a_redis_lost_with_its_files_is_rebuilt_without_training_twice(
    home: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with serving(settings()), started(Machine(settings())) as machine:
        study_id, done = half_done(machine)
        pid = int(machine.redis.info("server")["process_id"])
        machine.stop()
        kill_redis(pid)
        shutil.rmtree(home / "redis")
    # The password is lost too, and this process still has the old one.
    for cache in (connection.password, connection._connected, celery_app.make_app):
        cache.cache_clear()
    with serving(settings()), started(Machine(settings())) as machine:
        assert leases.studies(machine.redis) == []
        machine.recorder()
        machine.worker()
        assert f"{study_id} Tiny is in the queue again" in command("rebuild")
        machine.wait_until(study_id)
        # Stages that were done before the loss are not trained again.
        assert done
        assert all(begins(machine, fingerprint) == 1 for fingerprint in done)
        assert "nothing had to be done" in command("rebuild")
        check(machine, study_id, undisturbed, tmp_path)


@contextmanager
def started(machine: Machine) -> Iterator[Machine]:
    """Stop a machine's processes after the block, also after an error."""
    try:
        yield machine
    finally:
        machine.stop()


def command(*arguments: str) -> str:
    """Run a command in another process, and return its output."""
    done = subprocess.run(python("-m", "tasks", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_redis(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))


def test_a_database_restored_while_workers_train_is_completed(
    machine: Machine, undisturbed: Path, tmp_path: Path
) -> None:
    study_id, _ = half_done(machine)
    copy = backup.backup(machine.database, tmp_path / "copy.duckdb")
    assert copy.studies == 1
    counts = studies.study(machine.database, study_id).counts
    later_done = min(counts["done"] + 3, sum(counts.values()))
    wait_for(lambda: machine.recorded_done(study_id) >= later_done)
    later = machine.launch(tiny_study(seeds=[3]))
    wait_for(lambda: later in set(studies.studies(machine.database)["study_id"]))
    output = command("restore", str(tmp_path / "copy.duckdb"), "--yes")
    assert f"{later} Tiny is reported to the database again" in output
    [replaced] = machine.database.path.parent.glob("*.before-*[0-9]Z")
    assert later in set(studies.studies(Database(replaced))["study_id"])
    machine.wait_until(study_id)
    machine.wait_until(later)
    assert set(studies.studies(machine.database)["study_id"]) == {study_id, later}
    plan = plan_study(STUDY, settings().home)
    assert len(points.epochs(machine.database, OneStudy(study_id))) == STUDY.recipe.epochs * len(plan.stages)
    artifacts, alone = Artifacts(machine.config.artifacts), Artifacts(str(undisturbed))
    assert all(numbers(artifacts.result(key)) == numbers(alone.result(key)) for key in plan.stages)
    assert rebuild(settings()) == []
