"""A Redis that is given by REDIS_URL, as workers on more hosts share it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import queries
from data.settings import settings
from tasks import broker, telemetry
from tests.machine import Machine, free_port, tiny_study, wait_for


@pytest.fixture
def given(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Recorder and worker on a Redis that listens on a port and wants a password."""
    port = free_port()
    command = [broker.server_binary(), "--port", str(port), "--requirepass", "s3cret", "--save", ""]
    server = subprocess.Popen([*command, "--dir", str(tmp_path), "--logfile", str(tmp_path / "redis.log")])
    monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{port}/3")
    settings.cache_clear()
    machine = Machine(settings())
    try:
        with broker.serving(settings()):
            yield machine
    finally:
        machine.stop()
        server.kill()
        server.wait()


def test_a_study_goes_its_way_and_no_other_redis_is_started(given: Machine, home: Path) -> None:
    given.recorder()
    given.worker()
    study_id = given.launch(tiny_study())
    given.wait_until(study_id)
    assert queries.study(given.store, study_id).counts["done"] == 7
    [worker] = wait_for(telemetry.workers)
    assert worker.device == "cpu"
    assert not (home / "redis").exists()


def test_a_wrong_password_is_told(given: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", str(given.config.redis_url).replace("s3cret", "guess"))
    settings.cache_clear()
    with pytest.raises(broker.BrokerError, match="refuses the password"), broker.serving(settings()):
        pass
