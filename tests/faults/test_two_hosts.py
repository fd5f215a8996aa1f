"""Workers on two other hosts that share only a Redis and an S3 artifact store with this one."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
import torch
from moto.server import ThreadedMotoServer

from data import parquet
from data.artifacts.store import Artifacts
from data.queries import studies
from data.settings import Settings, settings
from engine.study.spec import Study
from tasks.broker import connection, server
from tasks.broker.binary import newest
from tasks.queue import leases, scripts, telemetry
from tasks.studies import launch
from tasks.studies.planning import plan_study
from tasks.worker.local import run
from tests.faults.undisturbed import numbers
from tests.hosts import Host, network, reason_for_none
from tests.machine import Machine, folder_of_images, free_port, tiny_study, wait_for

NONE = reason_for_none()
pytestmark = [pytest.mark.faults, pytest.mark.skipif(NONE is not None, reason=str(NONE))]

LEASE = 4.0
CUT = 20.0
RECOVERY = 30.0
AWS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1"}


class TwoHosts:
    """This host with Redis, artifact store and recorder, and two others with a worker each."""

    def __init__(
        self, machine: Machine, store: ThreadedMotoServer, hosts: list[Host], environment: dict[str, str]
    ) -> None:
        self.machine = machine
        self._store = store
        self._address = store.get_host_and_port()
        self.hosts = hosts
        self._environment = environment
        self.processes: list[subprocess.Popen[bytes]] = []

    def stop_store(self) -> None:
        """Stop the S3 server, so that its address does not answer."""
        self._store.stop()

    def start_store(self) -> None:
        """Start the S3 server again at its address, with all of its files."""
        self._store = ThreadedMotoServer(*self._address, verbose=False)
        self._store.start()

    def work(self, host: Host) -> "subprocess.Popen[bytes]":
        """Start a worker on a host."""
        process = host.start(
            self._environment, "-m", "tasks.worker", "--device", "cpu", "--lease", str(LEASE), "--verbose"
        )
        self.processes.append(process)
        return process

    def busy(self, host: Host) -> list[str]:
        """Return the stages that a host trains, according to Redis."""
        return [
            worker.stage
            for worker in telemetry.workers(self.machine.redis)
            if worker.host == host.name and worker.stage
        ]

    def epoch(self, fingerprint: str) -> int:
        """Return the epoch of a stage in training, 0 for other stages."""
        progress = telemetry.progress([fingerprint], self.machine.redis).get(fingerprint)
        return progress.epoch if progress else 0

    def attempt(self, fingerprint: str) -> int:
        """Return the attempt number of a stage."""
        return int(self.machine.redis.hget(f"{scripts.PREFIX}stage:{fingerprint}", "attempt") or 0)


@pytest.fixture
def two(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoHosts]:
    """Two hosts beside this one, each with a disk of its own."""
    with network() as net:
        port = free_port()
        # The S3 server keeps its buckets until this process ends, so each test has a bucket of its own.
        bucket = f"tickets-{port}"
        arguments = ["--bind", net.address, "--port", str(port), "--requirepass", "s3cret", "--save", ""]
        home.mkdir()
        redis = subprocess.Popen(
            [str(newest().binary), *arguments, "--dir", str(home), "--logfile", str(home / "redis.log")]
        )
        store = ThreadedMotoServer(ip_address=net.address, port=free_port(), verbose=False)
        store.start()
        environment = {
            "REDIS_URL": f"redis://:s3cret@{net.address}:{port}/0",
            "TICKETSCOPE_ARTIFACTS": f"s3://{bucket}/lab",
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*store.get_host_and_port()),
            **AWS,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        # Cached connections of an earlier test lead to another server.
        s3fs.S3FileSystem.clear_instance_cache()
        machine = Machine(settings())
        hosts: TwoHosts | None = None
        try:
            wait_for(lambda: _answers(settings()))
            s3fs.S3FileSystem().mkdir(bucket)
            hosts = TwoHosts(machine, store, [Host(f"host-{n}", n, net, tmp_path) for n in (1, 2)], environment)
            yield hosts
        finally:
            for process in hosts.processes if hosts else ():
                process.kill()
                process.wait()
            machine.stop()
            (hosts.stop_store if hosts else store.stop)()
            redis.kill()
            redis.wait()


def _answers(config: Settings) -> bool:
    try:
        with server.serving(config):
            return True
    except connection.BrokerError:
        return False


def flowers(tmp_path: Path, **changes: object) -> Study:
    """Return a study on images that only this host has, with stages of a few seconds."""
    recipe: dict[str, Any] = {"epochs": 400, "batch_size": 4, "augmentation": "none"}
    return tiny_study(
        **{
            "name": "Flowers",
            "datasets": [f"folder:{tmp_path / 'flowers'}"],
            "train_images": None,
            "test_images": None,
            "pruners": ["oneshot"],
            "sparsities": [0.9],
            "seeds": [0, 1],
            "recipe": recipe,
            **changes,
        }
    )


def check_like_undisturbed(machine: Machine, study: Study, study_id: str, folder: Path) -> None:
    """Compare weights, results and recorded rows of a study with those of the same study undisturbed."""
    planned = plan_study(study, machine.config.home)
    undisturbed = run(planned, str(folder), machine.config, ["cpu"], lambda *_: None)
    artifacts, expected_artifacts = Artifacts(machine.config.artifacts), Artifacts(str(folder))
    for fingerprint, result in undisturbed.items():
        assert numbers(artifacts.result(fingerprint)) == numbers(result)
        expected_weights, weights = (store.load(fingerprint, "trained") for store in (expected_artifacts, artifacts))
        assert all(torch.equal(expected_weights[name], weights[name]) for name in expected_weights | weights)
    expected = parquet.tables_from_results(planned, undisturbed)
    recorded = parquet.tables_from_database(machine.database, study_id)
    for name, table in recorded.items():
        clock = [column for column in table.column_names if column == "seconds"]
        assert table.num_rows > 0
        assert table.drop_columns(clock).equals(expected[name].drop_columns(clock))


def test_a_study_on_two_hosts_survives_the_loss_of_a_host_and_of_the_artifact_store(
    two: TwoHosts, tmp_path: Path
) -> None:
    folder_of_images(tmp_path / "flowers")
    machine, (first, second) = two.machine, two.hosts
    machine.recorder()
    for host in two.hosts:
        two.work(host)
    wait_for(lambda: {worker.host for worker in telemetry.workers(machine.redis)} == {first.name, second.name})
    study = flowers(tmp_path)
    study_id = machine.launch(study)
    artifacts = Artifacts(machine.config.artifacts)

    # Both train; the second host loses its network during a stage, and neither side is notified.
    [stage] = wait_for(lambda: two.busy(second))
    wait_for(lambda: two.busy(first))
    wait_for(lambda: artifacts.exists(stage, "checkpoint"))
    wait_for(lambda: two.epoch(stage) > 0)
    before = two.attempt(stage)
    second.cut_off()
    begin = time.monotonic()
    wait_for(lambda: two.attempt(stage) > before, RECOVERY)
    wait_for(lambda: two.epoch(stage) > 1 or leases.states(machine.redis, [stage])[stage] == "done", RECOVERY)
    taken = time.monotonic() - begin
    assert first.said(f"stage {stage} begins") == 1
    time.sleep(max(0.0, CUT - taken))
    assert second.said("is abandoned") == 0

    # The host is back, notices that it has lost its stage, and claims new work.
    second.come_back()
    begin = time.monotonic()
    wait_for(lambda: second.said(f"stage {stage} is abandoned: LeaseLost"), RECOVERY)
    lost = time.monotonic() - begin
    more = machine.launch(flowers(tmp_path, name="More", seeds=[5, 6, 7, 8], pruners=[], sparsities=[], starts=[]))
    wait_for(lambda: two.busy(second), RECOVERY)
    back = time.monotonic() - begin
    print(f"taken over after {taken:.1f} s; back after a cut of {CUT:g} s: lost {lost:.1f} s, new work {back:.1f} s")
    assert back < RECOVERY

    # The artifact store stops and starts again; stages wait for it and none fails.
    two.stop_store()
    wait_for(lambda: first.said("waiting for the artifact store") and second.said("waiting for the artifact store"))
    two.start_store()
    for launched in (study_id, more):
        machine.wait_until(launched, seconds=120.0)

    check_like_undisturbed(machine, study, study_id, tmp_path / "alone")
    trained_by = [studies.stages(machine.database, launched)["host"] for launched in (study_id, more)]
    assert set().union(*trained_by) == {first.name, second.name}

    # Neither host wrote outside its home or read folders of this host.
    for host in two.hosts:
        assert host.said("Read-only file system") == 0
        assert sorted(path.name for path in host.home.iterdir()) == ["capacity", "datasets", "tmp"]


def test_a_damaged_copy_of_the_images_is_refused(two: TwoHosts, tmp_path: Path) -> None:
    folder_of_images(tmp_path / "flowers")
    machine, host = two.machine, two.hosts[0]
    machine.recorder()
    study_id = machine.launch(flowers(tmp_path, seeds=[0], pruners=[], sparsities=[], starts=[]))
    [fingerprint] = leases.members(machine.redis, study_id)
    [copy] = s3fs.S3FileSystem().glob(f"{machine.config.artifacts}/datasets/*")
    content = s3fs.S3FileSystem().cat_file(copy)
    s3fs.S3FileSystem().pipe_file(copy, content[:-1] + bytes([content[-1] ^ 1]))
    two.work(host)
    machine.wait_until(study_id, "failed")
    error = studies.stages(machine.database, study_id)["error"].iloc[0]
    assert "do not match their hash" in error
    assert "launch the study again from a host that has the images" in error
    s3fs.S3FileSystem().rm_file(copy)
    launch.retry(study_id)
    machine.wait_until(study_id)
    assert host.said(f"stage {fingerprint} is done") == 1
