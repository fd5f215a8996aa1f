"""An empty database, a study file, and the command line in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data.database.database import Database
from data.settings import settings
from engine.study.spec import to_toml
from tasks.__main__ import main
from tests.machine import tiny_study

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(home: Path) -> Database:
    """The empty database of a home."""
    del home
    database = Database(settings().database)
    database.ensure()
    return database


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command in this process and returns its exit code, stdout and stderr."""
    del home

    def call(*arguments: str) -> tuple[int, str, str]:
        settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["python -m tasks", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def toml(tmp_path: Path) -> Callable[..., str]:
    """A function that writes the tiny study with some lines changed, and returns the path of its file."""

    def write(*changes: tuple[str, str]) -> str:
        text = to_toml(tiny_study())
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "study.toml"
        file.write_text(text)
        return str(file)

    return write
