"""Another program holds the database and does not let go: pages show what they had, and say who it is."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from app.state import audience
from data import shared_links
from data.database.database import Database
from engine.study.spec import Study
from tasks.process import ROOT, python
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.machine import notebook

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
    assert time.monotonic() - began < 4 * audience.PAGE_PATIENCE
    text = texts(app).replace("\\", "")
    assert f"(process {stopped_writer}) since" in text
    assert f"kill -CONT {stopped_writer}" in text


def check_shown_as_before(app: AppTest, recorded: Database, study: Study, pid: int) -> None:
    """Run a page again, which must show what it had, and name the process that holds the database."""
    before = [metric.value for metric in app.metric]
    # The file looks changed, so that no page may take its cached values for the present ones.
    os.utime(recorded.path)
    time.sleep(1.1)
    rerun(app)
    assert study.name in texts(app)
    assert [metric.value for metric in app.metric] == before
    assert not app.error
    assert any(f"process {pid}" in toast.value for toast in app.toast)


def test_a_page_shows_what_it_had_and_says_so(recorded: Database, request: pytest.FixtureRequest, study: Study) -> None:
    app = open_page(PAGE, study="made-study-0001")
    assert study.name in texts(app)
    check_shown_as_before(app, recorded, study, request.getfixturevalue("stopped_writer"))


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


PAGES = {
    "views/study.py": {"study": "made-study-0001"},
    "views/studies.py": {},
    "views/compare.py": {"s": "made-study-0001"},
    "views/paper.py": {},
    "views/figure.py": {"figure": "fig7"},
    "views/new_study.py": {"copy": "made-study-0001"},
    "views/links.py": {},
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages wait for a moment only."""
    monkeypatch.setattr(audience, "PAGE_PATIENCE", 0.2)
    audience._database.cache_clear()


@pytest.mark.usefixtures("impatient")
def test_a_page_that_had_nothing_names_the_notebook_in_a_sentence(recorded: Database) -> None:
    with notebook(recorded.path, read_only=False) as program:
        for page, query in PAGES.items():
            app = open_page(page, **query)
            said = "".join(error.value for error in app.error).replace("\\", "")
            assert f"analysis.py (process {program.pid}, running since " in said, page
            assert "README.txt" in said
        # Its numbers come from elsewhere, too.
        open_page("views/workers.py")


@pytest.mark.usefixtures("impatient")
def test_a_page_shows_what_it_had_beside_a_notebook(recorded: Database, study: Study) -> None:
    app = open_page(PAGE, study="made-study-0001")
    with notebook(recorded.path, read_only=False) as program:
        check_shown_as_before(app, recorded, study, program.pid)


@pytest.mark.usefixtures("impatient")
def test_a_viewer_keeps_the_page_beside_a_notebook_and_learns_nothing_of_it(recorded: Database, study: Study) -> None:
    _, token = shared_links.create(recorded, ["made-study-0001"])
    app = open_page("views/shared.py", share=token)
    assert study.name in texts(app)
    with notebook(recorded.path, read_only=False) as program:
        os.utime(recorded.path)
        time.sleep(2.1)
        rerun(app)
        assert study.name in texts(app)
        assert not app.error
        # Another viewer's first page has nothing to show.
        for other in (app, open_page("views/shared.py", share=token)):
            said = texts(other) + "".join(toast.value for toast in other.toast)
            for secret in (str(program.pid), "analysis.py", str(recorded.path.parent), "process"):
                assert secret not in said
        assert "cannot be read at the moment" in said
        assert "shows nothing" not in said
