"""Commands say where they work, and warn where services of this host work elsewhere."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.database.database import Database
from data.settings import settings
from tasks.process import ROOT, python
from tasks.services import presence
from tests.app.made_study import record
from tests.machine import tiny_study, wait_for
from tests.tasks.conftest import Command


@pytest.fixture
def serving_home(home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home beside that of the commands, with a running recorder and a recorded study."""
    del home
    serving = tmp_path / "serving"
    record(Database(serving / "ticketscope.duckdb"), tiny_study())
    log = tmp_path / "recorder.log"
    with log.open("wb") as output:
        recorder = subprocess.Popen(
            python("-m", "tasks", "recorder"),
            cwd=ROOT,
            env={**os.environ, "TICKETSCOPE_HOME": str(serving)},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "recording into" in log.read_text())
        yield serving
    finally:
        recorder.terminate()
        recorder.wait(60)


def test_commands_without_the_services_settings_warn_and_find_nothing(
    command: Command, serving_home: Path, home: Path
) -> None:
    for arguments in (("status",), ("rebuild",), ("share", "--list"), ("remeasure",), ("reclaim",), ("backup",)):
        code, output, error = command(*arguments)
        assert (code, output) == (2, ""), arguments
        warning, *_, sentence = error.strip().splitlines()
        assert warning.startswith("warning: another Ticketscope runs on this host, with home " + str(serving_home))
        assert f"this command uses home {home}" in warning
        assert "TICKETSCOPE_HOME" in warning
        assert "TICKETSCOPE_CONFIG" in warning
        # A progress bar may have been begun above.
        assert sentence.strip().startswith("error: ")
        assert str(home) in sentence
    # None of them has made a home.
    assert not home.exists()
    code, _, error = command("launch", "demo")
    assert code == 0
    assert error.startswith("warning: another Ticketscope")
    assert f"home {home}, queue started here, artifacts {home}/artifacts" in error


def test_a_settings_file_leads_commands_to_the_home_that_serves(
    command: Command, serving_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ticketscope.toml"
    file.write_text('home = "serving"')
    monkeypatch.delenv("TICKETSCOPE_HOME")
    monkeypatch.setenv("TICKETSCOPE_CONFIG", str(file))
    code, output, error = command("status")
    assert code == 0
    assert "Tiny" in output
    artifacts = serving_home / "artifacts"
    line = f"home {serving_home}, queue started here, artifacts {artifacts} (settings: {file})\n"
    assert error == line
    code, output, error = command("backup")
    assert (code, error.strip()) == (0, line.strip())
    assert "1 study" in output
    # The study was recorded without the queue.
    assert "Tiny is in the queue again: 7 done" in command("rebuild")[1]


def test_what_touches_no_study_says_nothing_and_json_stays_json(command: Command, database: Database) -> None:
    record(database, tiny_study())
    code, output, error = command("plan", "paper:fig7", "--json")
    assert (code, json.loads(output)["trainings"] > 0) == (0, True)
    assert "home" not in error
    code, output, error = command("verdicts", "made-study", "--json")
    assert code == 0
    json.loads(output)
    assert error.startswith(f"home {settings().home}")


def test_an_empty_home_is_named(command: Command, database: Database) -> None:
    for name, words in (("status", "nothing has been launched here yet"), ("rebuild", "knows a study")):
        code, output, _ = command(name)
        assert code == 0
        assert words in output
        assert str(database.path) in output
    code, output, error = command("backup")
    assert (code, output) == (2, "")
    assert "nothing to back up" in error
    assert str(database.path) in error
    assert not (database.path.parent / "backups").exists() or not list((database.path.parent / "backups").iterdir())


def test_passwords_are_not_shown(command: Command, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    record(database, tiny_study())
    monkeypatch.setenv("REDIS_URL", "rediss://user:geheim@127.0.0.1:1/0?password=geheim&ssl_cert_reqs=none")
    monkeypatch.setenv("TICKETSCOPE_ARTIFACTS", "s3://key:geheim@bucket/prefix?token=geheim")
    code, _, error = command("status")
    assert code == 0
    assert "geheim" not in error
    where = presence.place(settings())
    assert where.queue == "rediss://user:***@127.0.0.1:1/0?password=***&ssl_cert_reqs=none"
    assert where.artifacts == "s3://key:***@bucket/prefix?token=***"
