"""The command `up`: what it refuses before anything starts."""

import socket
from pathlib import Path

import pytest
from filelock import FileLock

from tests.tasks.conftest import Command


def test_a_named_login_provider_opens_the_network_as_a_password_does(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets.toml"
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    # A port that is taken ends `up` right after the check of the host.
    with socket.create_server(("0.0.0.0", 0)) as taken:
        asked = ("up", "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]))
        assert "TICKETSCOPE_PASSWORD" in command(*asked)[2]
        secrets.write_text("[auth]\nredirect_uri = 'https://tickets.example/oauth2callback'\n")
        assert "cannot be used" in command(*asked)[2]
        secrets.write_text("[auth\n")
        assert "TICKETSCOPE_PASSWORD" in command(*asked)[2]


def test_a_port_that_is_taken_is_told_before_anything_starts(command: Command, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, shown, error = command("up", "--port", str(port))
    assert (code, shown) == (2, "")
    assert str(port) in error
    assert "--port" in error
    # No Redis, no database, no logs: nothing but the lock of the one `up` that a home may have.
    assert [path.name for path in home.iterdir()] == ["up.lock"]


def test_a_second_start_on_a_home_is_told_as_that(command: Command, home: Path) -> None:
    home.mkdir()
    with FileLock(home / "up.lock"), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, error = command("up", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "is up on" in error
    assert "TICKETSCOPE_HOME" in error
