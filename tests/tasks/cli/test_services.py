"""The commands that run until they are stopped: errors of `up`, the end of `worker --until-idle`, and `notify`."""

import os
import re
import socket
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from redis import Redis

from data.settings import settings
from tasks.broker.connection import client
from tasks.process import ROOT, spawn
from tasks.queue import leases, scripts, telemetry
from tasks.queue.leases import Message
from tasks.services.idle import Idle
from tasks.worker import host
from tests.machine import Machine, free_port, tiny_study, wait_for
from tests.receiver import SECRETS, receiving
from tests.tasks.conftest import Command
from tests.tasks.queue.test_leases import claim, register, result, tiny_plan


def test_a_login_provider_allows_the_network_as_a_password_does(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets.toml"
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    # A port in use ends `up` right after the check of the host.
    with socket.create_server(("0.0.0.0", 0)) as taken:
        arguments = ("up", "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]))
        assert "TICKETSCOPE_PASSWORD" in command(*arguments)[2]
        secrets.write_text("[auth]\nredirect_uri = 'https://tickets.example/oauth2callback'\n")
        assert "cannot be used" in command(*arguments)[2]
        secrets.write_text("[auth\n")
        assert "TICKETSCOPE_PASSWORD" in command(*arguments)[2]


def test_a_port_in_use_is_refused_before_anything_starts(command: Command, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output, error = command("up", "--port", str(port))
    assert (code, output) == (2, "")
    assert str(port) in error
    assert "--port" in error
    # There is no Redis, database or log yet, only the lock that allows one `up` per home.
    assert [path.name for path in home.iterdir()] == ["up.lock"]


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("localhost", "::1"), ("::1", "127.0.0.1")])
def test_another_program_on_the_other_address_of_localhost_is_noticed(
    command: Command, home: Path, host: str, other: str
) -> None:
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    with socket.socket(family) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind((other, 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output, error = command("up", "--host", host, "--port", str(port))
    assert (code, output) == (2, "")
    assert f"port {port} on {other} cannot be used (Address already in use); give another" in error
    assert [path.name for path in home.iterdir()] == ["up.lock"]


def test_a_second_up_on_a_home_is_refused(command: Command, home: Path) -> None:
    home.mkdir()
    with FileLock(home / "up.lock"), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, error = command("up", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "is up on" in error
    assert "TICKETSCOPE_HOME" in error


def test_workers_of_a_batch_job_end_once_the_queue_stays_empty(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The script is what Slurm runs, whose lines for Slurm are comments here.
    script = ROOT / "docs" / "slurm" / "worker.sbatch"
    monkeypatch.setenv("TICKETSCOPE_BIN", str(Path(sys.executable).parent))
    machine.recorder()
    study_id = machine.launch(tiny_study(learning_rates=[0.1, 0.2]))
    options = ("--processes", "2", "--device", "cpu", "--until-idle", "2")
    job = spawn(["bash", str(script), *options], machine.logs / "job.log")
    assert job.wait(timeout=90.0) == 0
    log = (machine.logs / "job.log").read_text()
    assert "ended: nothing to train for 2 s" in log
    assert len(set(re.findall(r"worker (\S+) has stopped", log))) == 2
    assert leases.counts(machine.redis, study_id) == {"done": 14}
    assert machine.redis.zcard(f"{scripts.PREFIX}leases") == 0
    assert telemetry.known_workers(machine.redis) == []
    machine.wait_until(study_id, seconds=5.0)


def test_only_what_this_host_could_train_keeps_its_workers(redis: Redis) -> None:
    began = time.monotonic()
    mine = host.worker_name(os.getpid())

    def is_over(second: float) -> bool:
        idle.look(began + second)
        return idle.over

    idle = Idle(redis, 10.0, lambda: [os.getpid()])
    assert not is_over(9.0)
    [message] = register(redis, tiny_plan())
    assert not is_over(20.0)
    assert claim(redis, message, mine)
    assert not is_over(40.0)
    [again] = leases.release(redis, message)
    # What another host trains is nothing to do here, until a stage made from it is queued.
    assert claim(redis, again, "elsewhere:1")
    assert not is_over(49.0)
    assert is_over(50.0)
    assert leases.done(redis, again, result(again.fingerprint))
    assert not is_over(60.0)


def test_nothing_is_known_of_the_queue_while_redis_is_away(home: Path) -> None:
    del home
    idle = Idle(client(settings(), 0.0), 10.0, list)
    idle.look(time.monotonic() + 100.0)
    assert not idle.over


def test_notify_says_which_services_are_reached_without_their_secrets(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("notify", "--test")[0] == 2
    with receiving() as receiver:
        monkeypatch.setenv("TICKETSCOPE_NOTIFY", receiver.url)
        code, output, error = command("notify")
        assert (code, output) == (0, "service 1 (JSON): not asked; --test sends a message\n")
        assert command("notify", "--test")[:2] == (0, "service 1 (JSON): reached\n")
        assert receiver.titles() == ["Ticketscope notifies you here"]
        monkeypatch.setenv("TICKETSCOPE_NOTIFY", f"{receiver.url} json://127.0.0.1:{free_port()}/s3cret")
        code, output, more = command("notify", "--test")
        assert code == 1
        assert "service 1 (JSON): reached\nservice 2 (JSON): there is no connection to it\n" in output
        assert not any(secret in output + error + more for secret in SECRETS)
    # As where the extra is not installed.
    monkeypatch.setitem(sys.modules, "apprise", None)
    code, _, error = command("notify", "--test")
    assert code == 2
    assert "pip install 'ticketscope[notify]' installs it" in error


def test_a_recorder_tells_that_a_study_is_done(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("TICKETSCOPE_NOTIFY", receiver.url)
        machine.recorder()
        wait_for(lambda: (machine.config.home / "notices.json").exists())
        study_id = machine.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
        [fingerprint] = leases.members(machine.redis, study_id)
        message = Message(fingerprint, 1)
        assert claim(machine.redis, message)
        leases.done(machine.redis, message, result(fingerprint))
        wait_for(lambda: receiver.titles() == ["Tiny is done"])
