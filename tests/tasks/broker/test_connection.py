"""Connections to the Redis of a home, and to one named by REDIS_URL, which workers on several hosts share."""

import os
import stat
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
from tasks.broker import server
from tasks.broker.binary import newest
from tasks.queue import celery_app, telemetry
from tests.machine import Machine, free_port, tiny_study, wait_for
from tests.relay import certificate, relayed


@pytest.fixture
def remote(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine on a Redis that listens on a port and has a password."""
    port = free_port()
    command = [str(newest().binary), "--port", str(port), "--requirepass", "s3cret", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(tmp_path), "--logfile", str(tmp_path / "redis.log")])
    monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{port}/3")
    settings.cache_clear()
    machine = Machine(settings())
    try:
        with server.serving(settings()):
            yield machine
    finally:
        machine.stop()
        process.kill()
        process.wait()


def test_a_study_is_trained_over_the_named_redis_and_no_other_is_started(remote: Machine, home: Path) -> None:
    remote.recorder()
    remote.worker()
    study_id = remote.launch(tiny_study())
    remote.wait_until(study_id)
    assert studies.study(remote.database, study_id).counts["done"] == 7
    [worker] = wait_for(telemetry.workers)
    assert worker.device == "cpu"
    assert not (home / "redis").exists()


def test_a_wrong_password_is_refused(remote: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", str(remote.config.redis_url).replace("s3cret", "guess"))
    settings.cache_clear()
    with pytest.raises(broker.BrokerError, match="refuses the password"), server.serving(settings()):
        pass


def test_over_tls_both_clients_check_the_certificate(
    remote: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tls = certificate(tmp_path)
    target = urlsplit(str(remote.config.redis_url)).port
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
        # No authority has signed this certificate, and without a setting in the URL it is checked.
        monkeypatch.setenv("REDIS_URL", url)
        config = read_settings()
        with pytest.raises(broker.BrokerError, match="certificate"), server.serving(config):
            pass
        connection = celery_app.make_app(config).connection_for_write()
        with pytest.raises(OperationalError, match="certificate"):
            connection.ensure_connection(max_retries=1, interval_start=0.0)
        connection.release()


def test_a_connection_that_drops_packets_is_replaced(remote: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    target = urlsplit(str(remote.config.redis_url)).port
    assert target is not None
    assert broker.OVER_NETWORK["socket_timeout"] <= 5.0
    # A shorter timeout shortens the test, which waits for two of them.
    monkeypatch.setitem(broker.OVER_NETWORK, "socket_timeout", 1.0)
    with relayed(target) as relay:
        monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{relay.port}/3")
        redis = broker.client(read_settings(), patience=30.0)
        assert redis.ping()
        relay.swallows.set()
        began = time.monotonic()
        impatient = broker.client(read_settings(), patience=0)
        with pytest.raises(broker.BrokerError, match="does not answer"), broker.errors_explained(read_settings()):
            impatient.ping()
        impatient.close()
        relay.swallows.clear()
        # The old connection stays dead, as behind a firewall that has dropped its state.
        assert redis.ping()
        assert time.monotonic() - began < 10.0
        redis.close()


@pytest.mark.faults
def test_an_idle_worker_recovers_from_dead_connections(remote: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    target = urlsplit(str(remote.config.redis_url)).port
    assert target is not None
    remote.recorder()
    with relayed(target) as relay:
        monkeypatch.setenv("REDIS_URL", f"redis://:s3cret@127.0.0.1:{relay.port}/3")
        remote.worker()
        wait_for(telemetry.workers)
        # The worker waits for messages; neither messages nor the end of the connection reach it.
        relay.swallows.set()
        # The relay notices the event within 0.1 s on every connection, which is dead from then on.
        time.sleep(1.0)
        relay.swallows.clear()
        study_id = remote.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
        # A dead connection that nobody checks seems alive for a quarter of an hour.
        remote.wait_until(study_id, seconds=60.0)


def test_the_error_for_a_redis_that_does_not_answer_hides_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
    config = read_settings()
    with pytest.raises(broker.BrokerError, match="does not answer") as error, server.serving(config):
        pass
    assert f"redis://:***@127.0.0.1:{port}/0" in str(error.value)
    assert "secret" not in str(error.value)


def test_the_error_without_redis_says_what_to_start(home: Path) -> None:
    with pytest.raises(broker.BrokerError, match="ticketscope up"):
        telemetry.workers(broker.connect(patience=0))


@pytest.mark.parametrize(
    ("url", "celery_url"),
    [
        ("redis://:pw@host:6379/2", "redis://:pw@host:6379/2"),
        ("redis://:p%40w@host", "redis://:p%40w@host/0"),
        ("redis://host?db=4&socket_timeout=9", "redis://host/4"),
        ("rediss://:pw@host:6380/1", "rediss://:pw@host:6380/1?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_ca_certs=/a.pem", "rediss://host/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fa.pem"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
        ("unix://:pw@/run/redis.sock?db=3", "redis+socket://:pw@/run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_celery_connects_to_the_same_redis(monkeypatch: pytest.MonkeyPatch, url: str, celery_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert broker.celery_url(read_settings()) == celery_url


def test_a_home_with_a_long_path_gets_a_short_private_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_HOME", str(tmp_path / ("deep" * 30)))
    config = read_settings()
    with server.serving(config) as redis:
        path = broker.socket_path(config.home)
        assert redis.ping()
        assert len(os.fsencode(path)) <= broker.SOCKET_PATH_LIMIT
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_a_folder_open_to_others_is_not_used_for_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ("deep" * 30)
    folder = broker.socket_path(home).parent
    folder.chmod(0o755)
    with pytest.raises(broker.BrokerError, match="not private"):
        broker.socket_path(home)
    folder.rmdir()
