"""Truncated weights, checkpoints and results, and a full disk: workers recover from all by themselves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.queries import studies
from data.settings import settings
from engine.study.plan import Plan
from engine.study.spec import Study
from tasks.broker import connection
from tasks.queue import leases
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.faults.undisturbed import numbers
from tests.faults.world import SmallDisk
from tests.machine import Machine, long_study, tiny_study, wait_for

pytestmark = pytest.mark.faults


def truncate(path: Path) -> None:
    """Truncate a file to its first half, as a crash may do."""
    os.truncate(path, path.stat().st_size // 2)


def weights(machine: Machine, fingerprint: str, name: str) -> Path:
    return Path(machine.config.artifacts, "weights", fingerprint, f"{name}.safetensors")


def undisturbed(machine: Machine, study: Study, folder: Path) -> tuple[Plan, dict[str, object]]:
    planned = plan_study(study, machine.config.home)
    results = run(planned, str(folder), machine.config, ["cpu"], lambda *_: None)
    return planned, {fingerprint: numbers(result) for fingerprint, result in results.items()}


def test_lost_weights_are_trained_again_for_the_stages_that_need_them(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    first = tiny_study(pruners=["oneshot"], sparsities=[0.5], starts=["winning_ticket"])
    machine.worker()
    machine.wait_until(machine.launch(first))
    whole = tiny_study(pruners=["iterative", "oneshot"], starts=["winning_ticket", "rewind", "finetune"])
    planned, expected = undisturbed(machine, whole, tmp_path / "alone")
    [root] = [fingerprint for fingerprint, stage in planned.stages.items() if stage.kind == "pretrain"]
    # Some of these weights are for grandchildren, which must name this stage rather than their parent.
    truncate(weights(machine, root, "rewind"))
    weights(machine, root, "initial").unlink()
    study_id = machine.launch(whole)
    machine.wait_until(study_id)
    artifacts = Artifacts(machine.config.artifacts)
    assert {fingerprint: numbers(artifacts.result(fingerprint)) for fingerprint in planned.stages} == expected
    stages = studies.stages(machine.database, study_id)
    assert set(stages["state"]) == {"done"}
    # It is trained once more for all stages that miss its weights, or twice if one of them begins late.
    attempts = int(stages.loc[stages["fingerprint"] == root, "attempt"].iloc[0])
    assert attempts in (2, 3)
    assert (machine.logs / "worker.log").read_text().count(f"stage {root} begins") == attempts


def test_a_truncated_checkpoint_costs_only_time(machine: Machine, tmp_path: Path) -> None:
    machine.recorder()
    study = long_study(epochs=200, train_images=500)
    planned, expected = undisturbed(machine, study, tmp_path / "alone")
    [fingerprint] = planned.stages
    worker = machine.worker()
    study_id = machine.launch(study)
    checkpoint = weights(machine, fingerprint, "checkpoint")
    wait_for(checkpoint.exists)
    worker.kill()
    worker.wait()
    truncate(checkpoint)
    machine.worker()
    machine.wait_until(study_id)
    assert numbers(Artifacts(machine.config.artifacts).result(fingerprint)) == expected[fingerprint]
    assert machine.recorded_epochs(study_id) == 200
    assert "begins anew" in (machine.logs / "worker.log").read_text()


def test_a_truncated_result_counts_as_missing(machine: Machine) -> None:
    machine.recorder()
    machine.worker()
    study = tiny_study()
    machine.wait_until(machine.launch(study))
    artifacts = Artifacts(machine.config.artifacts)
    planned = plan_study(study, machine.config.home)
    leaf = list(planned.stages)[-1]
    before = numbers(artifacts.result(leaf))
    truncate(Path(machine.config.artifacts, "results", f"{leaf}.json"))
    # Redis and the database no longer know the study.
    machine.redis.flushall()
    machine.database.path.unlink()
    machine.wait_until(machine.launch(study))
    assert numbers(artifacts.result(leaf)) == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 6 MB."""
    disk = SmallDisk(tmp_path / "disk", 6)
    if not disk.mounted:
        pytest.skip(f"no small disk can be mounted: {disk.reason}")
    yield disk
    disk.unmount()


@pytest.fixture
def small_disk(machine: Machine, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine whose artifact store is on the small disk."""
    monkeypatch.setenv("TICKETSCOPE_ARTIFACTS", str(disk.folder / "artifacts"))
    settings.cache_clear()
    small = Machine(settings())
    yield small
    small.stop()


def test_workers_wait_for_a_full_disk_and_continue_once_there_is_space(
    small_disk: Machine, disk: SmallDisk, tmp_path: Path
) -> None:
    study = long_study(epochs=150, train_images=500)
    planned, expected = undisturbed(small_disk, study, tmp_path / "alone")
    [fingerprint] = planned.stages
    ballast = disk.fill()
    small_disk.recorder()
    small_disk.worker()
    study_id = small_disk.launch(study)
    wait_for(lambda: "waiting for the artifact store" in (small_disk.logs / "worker.log").read_text())
    # The worker still has the stage, because it renews the lease while it waits.
    wait_for(lambda: leases.states(connection.connect(), [fingerprint]) == {fingerprint: "running"})
    ballast.unlink()
    small_disk.wait_until(study_id)
    assert numbers(Artifacts(small_disk.config.artifacts).result(fingerprint)) == expected[fingerprint]
    stages = studies.stages(small_disk.database, study_id)
    assert list(stages["attempt"]) == [1]


def test_a_study_that_waits_for_a_full_disk_can_be_cancelled(small_disk: Machine, disk: SmallDisk) -> None:
    disk.fill()
    small_disk.recorder()
    small_disk.worker()
    study_id = small_disk.launch(long_study(epochs=150))
    wait_for(lambda: "waiting for the artifact store" in (small_disk.logs / "worker.log").read_text())
    assert launch.cancel(study_id) == 1
    small_disk.wait_until(study_id, "cancelled")
    wait_for(lambda: "is abandoned: StageCancelled" in (small_disk.logs / "worker.log").read_text())
