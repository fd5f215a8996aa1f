"""A Redis or a database that is lost altogether: what is left gives it back, and the numbers are the same."""

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
    """The study's artifacts as a run gives them that nothing disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    config = Settings(TICKETSCOPE_HOME=folder / "home")
    run(plan_study(STUDY, config.home), str(folder / "artifacts"), config, ["cpu"], lambda *_: None)
    return folder / "artifacts"


def check(machine: Machine, study_id: str, alone: Path, folder: Path) -> None:
    """Compare all that is kept of the study with the run that nothing disturbed, recorded in a database of its own."""
    kept = Path(machine.config.artifacts)
    assert differing_files(kept, alone)[1] == []
    with_redis = settings()
    recorder.drain_idle(with_redis)
    # The same study told from those artifacts alone: every row must be the same.
    home = folder / "told"
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
        name: left for name, (_, left) in differing_rows(machine.database.path, config.database).items() if left
    } == {}


def half_done(machine: Machine) -> tuple[str, set[str]]:
    """Launch the study and let it be trained in part; return its id and the stages that are done."""
    machine.recorder()
    machine.worker()
    study_id = machine.launch(STUDY)
    wait_for(
        lambda: studies.study(machine.database, study_id).counts["done"] >= 3 if machine.database.path.exists() else 0
    )
    return study_id, Artifacts(machine.config.artifacts).finished()


def begun(machine: Machine, fingerprint: str) -> int:
    return (machine.logs / "worker.log").read_text().count(f"stage {fingerprint} begins")


def test_a_redis_lost_with_its_files_is_rebuilt_without_training_twice(
    home: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with serving(settings()), started(Machine(settings())) as machine:
        study_id, done = half_done(machine)
        # Everything dies at once.
        pid = int(machine.redis.info("server")["process_id"])
        machine.stop()
        broker_dies(pid)
        shutil.rmtree(home / "redis")
    # Its password went too; this process knows the old one.
    for cache in (connection.password, connection._connected, celery_app.make_app):
        cache.cache_clear()
    with serving(settings()), started(Machine(settings())) as machine:
        assert leases.studies(machine.redis) == []
        machine.recorder()
        machine.worker()
        assert f"{study_id} Tiny is in the queue again" in command("rebuild")
        machine.wait_until(study_id)
        # What was done then was trained once; what was in the midst of it went on from its checkpoint.
        assert done
        assert all(begun(machine, fingerprint) == 1 for fingerprint in done)
        assert "nothing had to be done" in command("rebuild")
        check(machine, study_id, undisturbed, tmp_path)


@contextmanager
def started(machine: Machine) -> Iterator[Machine]:
    """Stop what a machine has started, whatever becomes of the block."""
    try:
        yield machine
    finally:
        machine.stop()


def command(*arguments: str) -> str:
    """Run a command in a process of its own, and return what it says."""
    ended = subprocess.run(python("-m", "tasks", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def broker_dies(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))


def test_a_database_restored_while_workers_train_is_completed(
    machine: Machine, undisturbed: Path, tmp_path: Path
) -> None:
    study_id, _ = half_done(machine)
    made = backup.backup(machine.database, tmp_path / "copy.duckdb")
    assert made.studies == 1
    before = studies.study(machine.database, study_id).counts["done"]
    wait_for(lambda: studies.study(machine.database, study_id).counts["done"] >= before + 3)
    later = machine.launch(tiny_study(seeds=[3]))
    wait_for(lambda: later in set(studies.studies(machine.database)["study_id"]))
    said = command("restore", str(tmp_path / "copy.duckdb"), "--yes")
    assert f"{later} Tiny is reported to the database again" in said
    [kept] = machine.database.path.parent.glob("*.before-*[0-9]Z")
    assert later in set(studies.studies(Database(kept))["study_id"])
    machine.wait_until(study_id)
    machine.wait_until(later)
    assert set(studies.studies(machine.database)["study_id"]) == {study_id, later}
    plan = plan_study(STUDY, settings().home)
    assert len(points.epochs(machine.database, OneStudy(study_id))) == STUDY.recipe.epochs * len(plan.stages)
    artifacts, alone = Artifacts(machine.config.artifacts), Artifacts(str(undisturbed))
    assert all(numbers(artifacts.result(key)) == numbers(alone.result(key)) for key in plan.stages)
    assert rebuild(settings()) == []
