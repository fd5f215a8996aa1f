"""The command `up`: the errors that end it before anything starts."""

import socket
from pathlib import Path

import pytest
from filelock import FileLock

from tests.tasks.conftest import Command


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
