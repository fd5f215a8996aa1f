"""The disk of the home fills: everything waits, says so in one sentence, and goes on once there is space."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data.artifacts.store import Artifacts
from data.settings import settings
from tasks.broker import connection
from tasks.broker.connection import Refused
from tasks.queue import leases
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.faults.test_up import Up, queued, workers
from tests.faults.undisturbed import numbers
from tests.faults.world import SmallDisk
from tests.machine import Machine, long_study, wait_for
from tests.tasks.conftest import Command

pytestmark = pytest.mark.faults

MEGABYTES = 24
STUDY = long_study(epochs=300, train_images=500, seeds=[0, 1, 2, 3])


@pytest.fixture
def disk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """A small disk that holds the home; the artifact store is elsewhere."""
    disk = SmallDisk(home, MEGABYTES)
    if not disk.mounted:
        pytest.skip(f"no small disk can be mounted: {disk.reason}")
    monkeypatch.setenv("TICKETSCOPE_ARTIFACTS", str(tmp_path / "artifacts"))
    settings.cache_clear()
    yield disk
    disk.unmount()


@pytest.fixture
def up(disk: SmallDisk, tmp_path: Path) -> Iterator[Up]:
    """`up` on the small disk, without the demo."""
    started = Up(tmp_path)
    try:
        [demo] = wait_for(queued)
        launch.cancel(demo)
        wait_for(lambda: len(workers()) == 2)
        wait_for(started.healthy)
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


def refuses() -> bool:
    try:
        connection.connect(patience=0).set("ticketscope:probe", "x")
    except Refused:
        return True
    return False


def test_everything_waits_for_space_and_goes_on_with_the_same_numbers(
    up: Up, disk: SmallDisk, command: Command, tmp_path: Path
) -> None:
    study_id = launch.launch(STUDY)
    machine = Machine(settings())
    wait_for(lambda: machine.recorded_epochs(study_id) > 0)
    family = {process.pid for process in up.family()}
    ballast = disk.fill()
    wait_for(refuses)
    for arguments in (("launch", "demo"), ("retry", study_id), ("cancel", study_id)):
        code, _, error = command(*arguments)
        assert code == 2
        assert error.strip().splitlines()[-1].startswith(f"error: the disk of {disk.folder} is full; free some space")
    assert command("status")[0] == 0
    time.sleep(5.0)
    # No part has ended.
    assert {process.pid for process in up.family()} == family
    assert up.healthy()
    ballast.unlink()
    recorded = machine.recorded_epochs(study_id)
    wait_for(lambda: machine.recorded_epochs(study_id) > recorded, 30.0)
    machine.wait_until(study_id)
    assert {process.pid for process in up.family()} == family
    planned = plan_study(STUDY, settings().home)
    expected = run(planned, str(tmp_path / "alone"), settings(), ["cpu"], lambda *_: None)
    artifacts = Artifacts(settings().artifacts)
    for fingerprint in planned.stages:
        assert numbers(artifacts.result(fingerprint)) == numbers(expected[fingerprint])
    assert machine.recorded_epochs(study_id) == sum(stage.epochs for stage in planned.stages.values())
    machine.stop()


def test_up_ends_in_order_on_a_full_disk_and_says_why_it_does_not_start_there(
    up: Up, disk: SmallDisk, command: Command
) -> None:
    family = up.family()
    ballast = disk.fill()
    wait_for(refuses)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30.0) == 0
    assert not [process for process in family if process.is_running()]
    for arguments in (("up", "--port", str(up.port)), ("launch", "demo"), ("worker",), ("recorder",)):
        code, _, error = command(*arguments)
        assert code == 2
        assert error.strip().endswith(f"error: the disk of {disk.folder} is full; free some space there")
    code, output, error = command("status")
    assert code == 0
    assert "Demo" in output
    assert "is full" in error
    inside = [
        process for process in psutil.process_iter(["cmdline"]) if str(disk.folder) in str(process.info["cmdline"])
    ]
    assert not inside
    ballast.unlink()
    [line] = command("status")[2].splitlines()
    assert line.startswith(f"home {disk.folder}")


def test_redis_at_its_memory_limit_says_so(redis, command: Command) -> None:
    redis.config_set("maxmemory", "1mb")
    code, _, error = command("launch", "demo")
    assert code == 2
    assert "Redis is at its memory limit" in error
    assert "raise maxmemory" in error
    redis.config_set("maxmemory", "0")
    assert command("launch", "demo")[0] == 0
    assert leases.studies(redis)
