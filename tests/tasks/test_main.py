"""The command line as a whole: errors of arguments and settings, and the help of every command."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.database.database import Database
from tasks.process import ROOT, python
from tests.app.made_study import record
from tests.faults.world import SmallDisk
from tests.machine import free_port, tiny_study
from tests.tasks.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "nowhere.toml"), ("nowhere.toml", "demo")),
        (("plan", "paper:fig77"), ("fig77", "fig7", "table1", "all")),
        (("plan", "paper:fig7:x"), ("'x'", "a, b, c")),
        (("plan", "paper:fig7", "--scale", "tiny"), ("tiny", "paper", "small")),
        (("plan", "paper:fig7", "--data", "photos"), ("photos", "cifar10")),
        (("plan", "demo", "--scale", "small"), ("--scale", "paper:fig7")),
        (("status",), ("nothing was ever launched", "no database", "TICKETSCOPE_HOME")),
        (("status", "abc"), ("no database", "TICKETSCOPE_HOME")),
        (("cancel", "abc"), ("abc", "status")),
        (("retry", "abc"), ("abc", "launch")),
        (("delete", "abc"), ("no database", "TICKETSCOPE_HOME")),
        (("rebuild",), ("no database", "recorder")),
        (("reclaim",), ("no database", "recorder")),
        (("backup",), ("no database", "TICKETSCOPE_HOME")),
        (("restore", "no.duckdb"), ("no.duckdb", "backup")),
        (("export", "abc", "--out", "x"), ("no database", "TICKETSCOPE_HOME")),
        (("run", "demo", "--out", "x", "--device", "tpu"), ("tpu", "auto")),
        (("run", "demo", "--out", "x", "--device", "cuda:99"), ("cuda:99",)),
        (("up", "--host", "0.0.0.0"), ("TICKETSCOPE_PASSWORD", "0.0.0.0")),
        (("frobnicate",), ("frobnicate",)),
        (("plan",), ("STUDY",)),
    ],
)
def test_bad_arguments_are_refused(command: Command, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    code, _, error = command(*arguments)
    assert code == 2
    assert "Traceback" not in error
    assert all(word in error for word in words), error


@pytest.mark.parametrize("arguments", [("status", "abc"), ("export", "abc", "--out", "x"), ("verdicts", "abc")])
def test_an_unknown_study_is_refused(command: Command, database: Database, arguments: tuple[str, ...]) -> None:
    del database
    code, _, error = command(*arguments)
    assert code == 2
    assert "'abc'" in error
    assert "status" in error


def test_a_redis_that_does_not_answer_is_an_error(
    command: Command, toml: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{port}/0")
    code, _, error = command("launch", toml())
    assert code == 2
    assert f"127.0.0.1:{port}" in error
    assert "secret" not in error


@pytest.fixture(params=["below a file", "on a read-only disk", "not to be made"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be made."""
    if request.param == "below a file":
        (tmp_path / "file").touch()
        yield tmp_path / "file" / "folder"
    elif request.param == "not to be made":
        # Not even root makes a folder here; on macOS there is no such file system.
        yield Path("/proc/ticketscope")
    else:
        disk = SmallDisk(tmp_path / "disk", 1, read_only=True)
        if not disk.mounted:
            pytest.skip(f"no small disk can be mounted: {disk.reason}")
        yield disk.folder / "folder"
        disk.unmount()


@pytest.mark.parametrize(
    "arguments",
    [
        "up --port 1",
        "recorder",
        "worker",
        "launch demo",
        "status",
        "share",
        "rebuild",
        "remeasure",
        "reclaim",
        "backup",
    ],
)
def test_a_home_that_cannot_be_made_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, unusable: Path, arguments: str
) -> None:
    monkeypatch.setenv("TICKETSCOPE_HOME", str(unusable))
    code, _, error = command(*arguments.split())
    assert code == 2
    # A progress bar may have been begun above.
    assert error.strip().startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert str(unusable) in error
    assert "TICKETSCOPE_HOME" in error


@pytest.mark.parametrize("arguments", [("run", "demo", "--out"), ("export", "made-study-0001", "--out")])
def test_an_output_folder_that_cannot_be_made_is_one_line(
    command: Command, database: Database, unusable: Path, arguments: tuple[str, ...]
) -> None:
    record(database, tiny_study())
    code, _, error = command(*arguments, str(unusable))
    assert code == 2
    # A progress bar may have been begun above.
    assert error.strip().startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert str(unusable) in error


def test_a_plan_needs_no_home(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_HOME", "/proc/ticketscope")
    code, output, _ = command("plan", "demo")
    assert code == 0
    assert "126" in output


def test_a_faulty_setting_is_an_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETSCOPE_WORKERS", "many")
    code, _, error = command("plan", "demo")
    assert code == 2
    assert "TICKETSCOPE_WORKERS" in error


def test_an_error_is_one_line_without_traceback(home: Path) -> None:
    del home
    ended = subprocess.run(
        python("-m", "tasks", "plan", "no.toml"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1


COMMANDS = (
    "up worker recorder plan launch run status verdicts cancel retry share password export "
    "backup restore rebuild remeasure delete reclaim"
)


@pytest.mark.parametrize("name", COMMANDS.split())
def test_every_command_has_help(command: Command, name: str) -> None:
    code, output, _ = command(name, "--help")
    assert code == 0
    assert "Usage: ticketscope" in output
    assert len(output.split()) > 15
