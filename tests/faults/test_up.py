"""`ticketscope up` starts dead processes again, and Ctrl-C ends all of them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis.exceptions import ConnectionError

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.queries.incomplete import incomplete
from data.settings import settings
from tasks.broker import connection
from tasks.process import ROOT, python
from tasks.queue import leases, telemetry
from tasks.services import presence
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.worker import local
from tests.data.made_results import Stream, whole_study, without_masks
from tests.machine import alive, free_port, healthy, long_study, tiny_study, wait_for

pytestmark = pytest.mark.faults


class Up:
    """A running `up` and its processes."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.output = folder / "up.txt"
        command = python("-m", "tasks", "up", "--port", str(self.port))
        self.settings = folder / "settings.toml"
        self.settings.write_text("workers = 2\n")
        environment = {**os.environ, "TICKETSCOPE_CONFIG": os.path.relpath(self.settings, ROOT)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        self.children: set[int] = set()

    def family(self) -> list[psutil.Process]:
        """Return the processes below `up`, and add them to `children`."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        self.children |= {child.pid for child in processes}
        return processes

    def healthy(self) -> bool:
        """Return whether the dashboard answers."""
        return healthy(self.port)


@pytest.fixture
def up(home: Path, tmp_path: Path) -> Iterator[Up]:
    """`up` with its dashboard answering and two workers ready, whose demo was queued and is cancelled."""
    del home
    started = Up(tmp_path)
    try:
        # `up` queues the demo on an empty database.
        [demo] = wait_for(queued)
        launch.cancel(demo)
        wait_for(lambda: len(workers()) == 2)
        wait_for(started.healthy)
        started.family()
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


def queued() -> list[str]:
    try:
        return leases.studies(connection.connect(patience=0))
    except ConnectionError:
        return []


def workers() -> list[telemetry.Worker]:
    try:
        return telemetry.workers(connection.connect(patience=0))
    except connection.BrokerError:
        return []


def test_all_services_read_the_settings_that_up_read(up: Up) -> None:
    # Its path was relative; two workers, as the file says, have started.
    ours = [process for process in up.family() if "-m" in process.cmdline()]
    assert len(ours) >= 4
    assert {process.environ()["TICKETSCOPE_CONFIG"] for process in ours} == {str(up.settings)}
    assert up.process.pid in {service.pid for service in presence.running()}
    assert presence.others(settings()) == []


def test_killed_processes_restart_and_ctrl_c_ends_all(up: Up) -> None:
    redis = connection.connect()
    study_id = launch.launch(long_study(epochs=10_000))
    [fingerprint] = leases.members(redis, study_id)
    trained_by = wait_for(lambda: telemetry.progress([fingerprint], redis))[fingerprint].worker
    epoch = wait_for(lambda: telemetry.progress([fingerprint], redis))[fingerprint].epoch

    # When a worker dies, the supervisor ends its lease at once.
    os.kill(int(trained_by.split(":")[-1]), signal.SIGKILL)
    # The lease of 20 s would end later than this.
    wait_for(lambda: redis.hget(f"ticketscope:stage:{fingerprint}", "attempt") == "2", 15.0)
    wait_for(lambda: telemetry.progress([fingerprint], redis))
    assert epoch > 0
    wait_for(lambda: len(workers()) == 2)

    # When Redis dies, it is started again with its data.
    pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: answers_with_another_pid(pid))
    assert leases.states(redis, [fingerprint]) == {fingerprint: "running"}

    up.family()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=90.0) == 0
    assert not [pid for pid in up.children if alive(pid)]
    assert f"http://localhost:{up.port}" in up.output.read_text()


def answers_with_another_pid(pid: int) -> bool:
    try:
        return int(connection.connect(patience=0).info("server")["process_id"]) != pid
    except ConnectionError:
        return False


def test_no_process_outlives_up_and_a_home_has_only_one(up: Up) -> None:
    second = subprocess.run(
        python("-m", "tasks", "up", "--port", str(free_port())), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert second.returncode == 2
    assert str(settings().home) in second.stderr.replace("\n", "")
    # The address with the token can be asked for as long as `up` runs.
    address = settings().dashboard_address.read_text()
    assert address.startswith(f"http://localhost:{up.port}/?token=")
    assert f" {address};" in second.stderr
    wait_for(lambda: f"with token {address} " in up.output.read_text())
    assert len(second.stderr.splitlines()) == 1
    up.process.kill()
    wait_for(lambda: not [pid for pid in up.children if alive(pid)])


def test_up_completes_results_of_an_older_version_in_the_background(home: Path, tmp_path: Path) -> None:
    plan = plan_study(tiny_study(), home)
    results = local.run(plan, settings().artifacts, settings(), ["cpu"], lambda *_: None)
    database, artifacts = Database(settings().database), Artifacts(settings().artifacts)
    old = {fingerprint: without_masks(result) for fingerprint, result in results.items()}
    database.record(whole_study(Stream(), plan, results=old))
    for fingerprint, result in old.items():
        artifacts.finish(fingerprint, result)
    started = Up(tmp_path)
    try:
        wait_for(started.healthy)
        wait_for(lambda: incomplete(database) == [])
    finally:
        started.process.send_signal(signal.SIGINT)
        started.process.wait(30)
    assert {fingerprint: artifacts.result(fingerprint) for fingerprint in results} == results
    assert "completed" in (home / "logs" / "remeasure.log").read_text()
    assert "could not be completed" not in started.output.read_text()
