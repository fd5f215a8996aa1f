"""A Redis that is given by REDIS_URL, as workers on more hosts share it."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kombu.exceptions import OperationalError

from data.queries import studies
from data.settings import read_settings, settings
from tasks.broker import connection as broker
from tasks.queue import celery_app, telemetry
from tests.machine import Machine, free_port, tiny_study, wait_for
from tests.relay import certificate, relayed


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
    assert studies.study(given.store, study_id).counts["done"] == 7
    [worker] = wait_for(telemetry.workers)
    assert worker.device == "cpu"
    assert not (home / "redis").exists()


def test_a_wrong_password_is_told(given: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", str(given.config.redis_url).replace("s3cret", "guess"))
    settings.cache_clear()
    with pytest.raises(broker.BrokerError, match="refuses the password"), broker.serving(settings()):
        pass


def test_over_tls_both_clients_check_the_certificate(
    given: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tls = certificate(tmp_path)
    target = urlsplit(str(given.config.redis_url)).port
    assert target is not None
    with relayed(target, tls) as relay:
        url = f"rediss://:s3cret@127.0.0.1:{relay.port}/3"
        monkeypatch.setenv("REDIS_URL", f"{url}?ssl_cert_reqs=required&ssl_ca_certs={file}")
        settings.cache_clear()
        machine = Machine(settings())
        try:
            machine.recorder()
            machine.worker()
            study_id = machine.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
            machine.wait_until(study_id)
        finally:
            machine.stop()
        # Nobody vouches for this certificate, and a URL that says nothing about it means that it is checked.
        monkeypatch.setenv("REDIS_URL", url)
        config = read_settings()
        with pytest.raises(broker.BrokerError, match="certificate"), broker.serving(config):
            pass
        connection = celery_app.make_app(config).connection_for_write()
        with pytest.raises(OperationalError, match="certificate"):
            connection.ensure_connection(max_retries=1, interval_start=0.0)
        connection.release()


def test_a_connection_whose_packets_are_swallowed_is_noticed_and_made_anew(
    given: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = urlsplit(str(given.config.redis_url)).port
    assert target is not None
    with relayed(target) as relay:
        monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{relay.port}/3")
        redis = broker.client(read_settings(), patience=30.0)
        assert redis.ping()
        relay.swallows.set()
        begin = time.monotonic()
        impatient = broker.client(read_settings(), patience=0)
        with pytest.raises(broker.BrokerError, match="does not answer"), broker.errors_explained(read_settings()):
            impatient.ping()
        impatient.close()
        relay.swallows.clear()
        # The old connection stays dead, as one that a firewall has forgotten.
        assert redis.ping()
        assert time.monotonic() - begin < 20.0
        redis.close()


@pytest.mark.faults
def test_an_idle_worker_whose_connections_lead_nowhere_takes_work_again(
    given: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = urlsplit(str(given.config.redis_url)).port
    assert target is not None
    given.recorder()
    with relayed(target) as relay:
        monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{relay.port}/3")
        given.worker()
        wait_for(telemetry.workers)
        # It waits for messages, and hears neither of them nor of an end.
        relay.swallows.set()
        time.sleep(3.0)
        relay.swallows.clear()
        study_id = given.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
        given.wait_until(study_id, seconds=30.0)
