"""Clocks of Redis, recorder and workers are set ahead and back: no lease is lost, and no dead worker is missed."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.artifacts.store import Artifacts
from data.queries import studies
from data.settings import Settings, settings
from tasks.broker.server import serving
from tasks.queue import leases, scripts, telemetry
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.faults.clocks import Clocks
from tests.faults.undisturbed import numbers
from tests.machine import LEASE_SECONDS, Machine, long_study, tiny_study, wait_for

pytestmark = pytest.mark.faults

JUMPS = (600, -600, 0)
# Its two stages last until the clocks have jumped.
STUDY = long_study(epochs=400, train_images=500, name="Jumps", seeds=[0, 1])


@pytest.fixture
def clocks(tmp_path: Path) -> Iterator[Clocks]:
    """Clocks of the processes that a test starts."""
    clocks = Clocks(tmp_path)
    if clocks.reason:
        pytest.skip(clocks.reason)
    clocks.install()
    yield clocks
    clocks.remove()


@pytest.fixture
def machine(clocks: Clocks, home: Path) -> Iterator[Machine]:
    """A machine whose processes have clocks that can be set."""
    del clocks, home
    with serving(settings()):
        machine = Machine(settings())
        yield machine
        machine.stop()


def redis_pid(machine: Machine) -> int:
    return int(machine.redis.info("server")["process_id"])


def epochs(machine: Machine, study_id: str) -> dict[str, int]:
    """Return the last reported epoch of every stage that trains."""
    live = telemetry.progress(leases.members(machine.redis, study_id), machine.redis)
    return {fingerprint: progress.epoch for fingerprint, progress in live.items()}


def wait_for_epochs(machine: Machine, study_id: str, more: int) -> None:
    """Wait until every stage in training has trained some more epochs."""
    before = wait_for(lambda: epochs(machine, study_id))
    wait_for(lambda: all(epochs(machine, study_id).get(name, 10**9) >= epoch + more for name, epoch in before.items()))


def attempt(machine: Machine, fingerprint: str) -> int:
    return int(machine.redis.hget(f"{scripts.PREFIX}stage:{fingerprint}", "attempt") or 0)


def attempts(machine: Machine, study_id: str) -> list[int]:
    return sorted(attempt(machine, name) for name in leases.members(machine.redis, study_id))


def ready(process: "subprocess.Popen[bytes]", machine: Machine) -> None:
    """Wait until a worker reports that it lives."""
    wait_for(lambda: process.pid in {worker.pid for worker in telemetry.workers(machine.redis)})


def test_no_jump_of_a_clock_loses_a_lease_or_hides_a_dead_worker(
    machine: Machine, clocks: Clocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each worker trains one of the two stages.
    monkeypatch.setenv("TICKETSCOPE_TOGETHER", "1")
    recorder, workers = machine.recorder(), [machine.worker(), machine.worker()]
    for worker in workers:
        ready(worker, machine)
    study_id = machine.launch(STUDY)
    wait_for(lambda: len(epochs(machine, study_id)) == 2)
    parts = {"Redis": redis_pid(machine), "recorder": recorder.pid, "worker": workers[0].pid}
    for pid in parts.values():
        for seconds in JUMPS:
            clocks.set(pid, seconds)
            wait_for_epochs(machine, study_id, 3)
    assert attempts(machine, study_id) == [1, 1]
    # The clock of Redis is behind by ten minutes when a worker dies.
    clocks.set(parts["Redis"], -600)
    wait_for_epochs(machine, study_id, 3)
    workers[1].kill()
    wait_for(lambda: attempts(machine, study_id) == [1, 2], LEASE_SECONDS + 10.0)
    wait_for(lambda: [w.pid for w in telemetry.known_workers(machine.redis) if w.is_silent()] == [workers[1].pid])
    machine.worker()
    machine.wait_until(study_id, seconds=240.0)
    assert attempts(machine, study_id) == [1, 2]

    # Both stages saw the clocks jump, and one of them another worker too.
    alone = Settings(TICKETSCOPE_HOME=tmp_path / "alone", TICKETSCOPE_TOGETHER=1)
    stages = plan_study(STUDY, alone.home).stages
    [continued] = [name for name in stages if attempt(machine, name) == 2]
    planned = plan_study(STUDY.model_copy(update={"seeds": (stages[continued].seed,)}), alone.home)
    undisturbed = run(planned, str(tmp_path / "artifacts"), alone, ["cpu"], lambda *_: None)
    artifacts = Artifacts(machine.config.artifacts)
    for fingerprint in planned.stages:
        assert numbers(artifacts.result(fingerprint)) == numbers(undisturbed[fingerprint])


def test_studies_and_their_states_are_in_the_order_of_their_events(machine: Machine, clocks: Clocks) -> None:
    machine.recorder()
    machine.worker()
    quick = {"pruners": [], "sparsities": [], "starts": []}
    ids = []
    for number, seconds in enumerate((0, 3600, -3600)):
        clocks.set(redis_pid(machine), seconds)
        ids.append(machine.launch(tiny_study(name=f"Study {number}", seeds=[number], **quick)))
        machine.wait_until(ids[-1])
    rows = studies.studies(machine.database)
    assert list(rows["study_id"]) == ids[::-1]
    assert (rows["finished_at"] >= rows["created_at"]).all()


def test_a_new_redis_whose_clock_is_behind_is_recorded_all_the_same(home: Path, clocks: Clocks) -> None:
    """Its events would get lower ids than those of the lost one, which the database has."""
    del home
    quick = {"pruners": [], "sparsities": [], "starts": []}
    config = settings()
    for seconds, name in ((7200, "Before"), (-7200, "After")):
        with serving(config) as redis:
            redis.flushall()
            clocks.set(int(redis.info("server")["process_id"]), seconds)
            machine = Machine(config)
            machine.recorder()
            wait_for(lambda: redis.exists(telemetry.EVENTS))
            machine.worker()
            # The second study shares its only stage with the first, whose result is gone, so that it trains anew.
            for file in (Path(config.artifacts) / "results").rglob("*.json"):
                file.unlink()
            study_id = machine.launch(tiny_study(name=name, **quick))
            machine.wait_until(study_id)
            machine.stop()
    stage = studies.stages(machine.database, study_id).iloc[0]
    assert stage["state"] == "done"
    assert stage["finished_at"].tz_convert(UTC) > datetime.now(UTC) + timedelta(hours=1)
