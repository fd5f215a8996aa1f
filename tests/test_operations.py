"""The lines of the documents that an administrator copies: settings, cron and compose."""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from data import settings_file
from data.database.database import Database
from data.passwords import hashed
from data.settings import read_settings
from tasks.__main__ import app
from tests.app.made_study import record
from tests.machine import tiny_study

ROOT = Path(__file__).parents[1]
TEAM = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
DOCUMENTS = [TEAM, *((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("settings.md", "keeping.md"))]
# A line of /etc/cron.d: five fields of time, an account and a command.
CRON = re.findall(r"^    ((?:[\d*/,-]+ +){5})(\w+) +(.*)$", TEAM, re.MULTILINE)
TOML = [block for text in DOCUMENTS for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "home" in block]
COMPOSE = [line for line in re.findall(r"^    (docker compose .*)$", TEAM, re.MULTILINE) if "#" not in line]
COMPOSE += [line for text in DOCUMENTS for line in re.findall(r"`(docker compose [^`]*)`", text)]


@pytest.mark.parametrize("text", TOML)
def test_a_settings_file_of_the_documents_is_accepted(
    text: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    file = tmp_path / "ticketscope.toml"
    file.write_text(text.replace("scrypt:131072:8:1:...", hashed("open sesame")))
    file.chmod(0o640)
    monkeypatch.delenv("TICKETSCOPE_HOME")
    monkeypatch.setenv("TICKETSCOPE_CONFIG", str(file))
    config = read_settings()
    assert (config.home, config.artifacts) == (Path("/var/lib/ticketscope"), "s3://tickets")


def test_the_lines_for_cron_back_up_and_remove_old_copies(home: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("ticketscope")
    if not command.exists():
        pytest.skip(f"there is no {command}; python3 install.py makes it")
    record(Database(home / "ticketscope.duckdb"), tiny_study())
    # In place of /etc/ticketscope, the user's folder has the settings, which all that cron starts finds.
    (tmp_path / ".config" / "ticketscope").mkdir(parents=True)
    (tmp_path / ".config" / "ticketscope" / settings_file.NAME).write_text(f'home = "{home}"')
    (home / "backups").mkdir(mode=0o700)
    old = home / "backups" / "ticketscope-old.duckdb"
    old.touch()
    before = (datetime.now(UTC) - timedelta(days=40)).timestamp()
    os.utime(old, (before, before))
    assert len(CRON) == 2
    for _, account, line in CRON:
        assert account == "ticketscope"
        # In a line of cron, % ends the command.
        assert "%" not in line
        line = line.replace("/opt/ticketscope/.venv/bin/ticketscope", str(command))
        line = line.replace("/var/lib/ticketscope", str(home))
        # This is all that cron gives it.
        bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LOGNAME": "ticketscope", "SHELL": "/bin/sh"}
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    [copy] = (home / "backups").iterdir()
    assert copy != old
    assert copy.stat().st_mode & 0o077 == 0


def test_the_documents_have_commands_for_compose() -> None:
    assert len(COMPOSE) >= 10


@pytest.mark.parametrize("line", COMPOSE)
def test_a_command_for_compose_names_services_and_commands_that_exist(line: str) -> None:
    subprocess.run(["/bin/sh", "-n", "-c", line], check=True)
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    words = shlex.split(line)[2:]
    verb, *rest = words
    assert verb in {"up", "exec", "run", "cp", "build", "stop"}
    named = [word for word in rest if not word.startswith("-")]
    if verb in {"exec", "run", "stop"}:
        assert named[0] in services
    elif verb == "cp":
        assert any(word.partition(":")[0] in services for word in named)
    elif scaled := re.findall(r"--scale (\w+)=\d", line):
        assert set(scaled) <= set(services)
    if "ticketscope" in rest:
        commands = get_command(app)
        assert isinstance(commands, TyperGroup)
        name, *options = rest[rest.index("ticketscope") + 1 :]
        known = {flag for option in commands.commands[name].params for flag in option.opts}
        assert {option for option in options if option.startswith("--")} <= known
    for path in re.findall(r"/var/lib/ticketscope[\w/.-]*", line):
        assert path.startswith(services["recorder"]["environment"]["TICKETSCOPE_HOME"])
