"""Another program holds the database and does not let go: pages show what they had, and say who it is."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from app.state import queries
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tasks.process import ROOT, python
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

PROGRAM = """
import sys, time
from pathlib import Path
from data.database.database import Database
with Database(Path(sys.argv[1])).writing():
    print("writing", flush=True)
    time.sleep(600)
"""
PAGE = "views/study.py"


@pytest.fixture
def recorded(database: Database, study: Study) -> Database:
    """A database with a finished study."""
    record(database, study)
    return database


@pytest.fixture
def stopped_writer(recorded: Database) -> Iterator[int]:
    """The id of a process that was stopped, as by Ctrl-Z, while it wrote."""
    command = python("-c", PROGRAM, str(recorded.path))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            os.kill(writer.pid, signal.SIGSTOP)
            yield writer.pid
        finally:
            writer.kill()


def test_a_page_names_who_holds_the_database_and_does_not_hang(stopped_writer: int) -> None:
    began = time.monotonic()
    app = open_page(PAGE, study="made-study-0001")
    assert time.monotonic() - began < 4 * queries.PAGE_PATIENCE
    text = texts(app).replace("\\", "")
    assert f"(process {stopped_writer}) since" in text
    assert f"kill -CONT {stopped_writer}" in text


def test_a_page_shows_what_it_had_and_says_so(recorded: Database, request: pytest.FixtureRequest, study: Study) -> None:
    app = open_page(PAGE, study="made-study-0001")
    before = [metric.value for metric in app.metric]
    assert study.name in texts(app)
    pid = request.getfixturevalue("stopped_writer")
    # The file looks changed, so that no page may take its cached values for the present ones.
    os.utime(recorded.path)
    time.sleep(1.1)
    rerun(app)
    assert study.name in texts(app)
    assert [metric.value for metric in app.metric] == before
    assert not app.error
    assert any(f"process {pid}" in toast.value for toast in app.toast)


def test_a_viewer_is_not_shown_who_holds_it(recorded: Database, request: pytest.FixtureRequest, study: Study) -> None:
    _, token = shared_links.create(recorded, ["made-study-0001"])
    app = open_page("views/shared.py", share=token)
    assert study.name in texts(app)
    pid = request.getfixturevalue("stopped_writer")
    os.utime(recorded.path)
    time.sleep(2.1)
    said = texts(rerun(app)) + "".join(toast.value for toast in app.toast)
    for secret in (str(pid), str(recorded.path.parent), "process"):
        assert secret not in said
