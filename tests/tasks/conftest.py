"""A real Redis, for tests that start nothing else, and the command line in this process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from data.settings import settings
from tasks.__main__ import main
from tasks.broker import serving

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def redis(home: Path) -> Iterator[Redis]:
    """A Redis of its own, empty."""
    del home
    with serving(settings()) as client:
        yield client
        client.close()


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; returns its exit code, stdout and stderr."""
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
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call
