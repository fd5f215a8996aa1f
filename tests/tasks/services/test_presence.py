"""Services that run on this host are known to its commands as long as they run, and no longer."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data import processes
from data.settings import Settings, settings
from tasks.process import ROOT, python
from tasks.services import presence
from tests.accounts import other_account
from tests.machine import wait_for

# A service that does nothing but tell that it is there.
SERVICE = """
import sys
from data.settings import settings
from tasks.services.presence import announced
with announced(settings(), "ticketscope recorder"):
    print("here", flush=True)
    sys.stdin.read()
"""


@contextmanager
def service(home: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a service of a home within the block."""
    process = subprocess.Popen(
        python("-c", SERVICE),
        cwd=ROOT,
        env={**os.environ, **variables, "TICKETSCOPE_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


def test_a_service_of_another_home_is_known_until_it_ends(home: Path, elsewhere: Path, tmp_path: Path) -> None:
    del home
    assert presence.others(settings()) == []
    with service(elsewhere, REDIS_URL="redis://:geheim@127.0.0.1:1/0") as process:
        [other] = presence.others(settings())
        assert (other.command, other.pid, other.place.home) == ("ticketscope recorder", process.pid, str(elsewhere))
        assert other.place.queue == "redis://:***@127.0.0.1:1/0"
        assert "geheim" not in "".join(file.read_text() for file in tmp_path.glob(f"{presence.PREFIX}*"))
        # One that is told to stop removes its record, one that is killed does not.
        process.communicate("")
        assert list(tmp_path.glob(f"{presence.PREFIX}*")) == []
    with service(elsewhere) as process:
        process.kill()
        process.wait()
        assert list(tmp_path.glob(f"{presence.PREFIX}*")) != []
        assert presence.running() == []
    # The next service of this account removes what the killed one left.
    with service(elsewhere) as process:
        assert [file.name for file in tmp_path.glob(f"{presence.PREFIX}*")] == [
            f"{presence.PREFIX}{os.getuid()}-{process.pid}"
        ]


def test_no_other_is_named_where_a_service_works_at_the_same_place(home: Path, elsewhere: Path) -> None:
    with service(elsewhere), service(home):
        assert len(presence.running()) == 2
        assert presence.others(settings()) == []
        # The same home with another queue is another place.
        other_queue = Settings(TICKETSCOPE_HOME=home, REDIS_URL="redis://127.0.0.1:1/0")
        assert len(presence.others(other_queue)) == 2


def record(folder: Path, pid: int, **changes: object) -> Path:
    """Write a record as a service of some process does."""
    file = folder / f"{presence.PREFIX}{os.getuid()}-{pid}"
    values = {"command": "ticketscope up", "since": "2026-11-30T03:00:00+00:00", "born": processes.born(pid)}
    place = {"home": "/x", "queue": "started here", "artifacts": "/x/artifacts"}
    file.write_text(json.dumps({**values, **place, **changes}))
    return file


def test_only_true_records_of_living_processes_count(home: Path, tmp_path: Path) -> None:
    del home
    file = record(tmp_path, os.getpid())
    assert len(presence.running()) == 1
    # The process that wrote it had this number before.
    record(tmp_path, os.getpid(), born=1.0)
    assert presence.running() == []
    # It would change the terminal that shows it.
    record(tmp_path, os.getpid(), home="/x\x1b[31m")
    assert presence.running() == []
    for text in ("", "[]", "{}", "null", '{"command": 1}', "\udcff".encode(errors="surrogateescape").decode("latin-1")):
        file.write_text(text)
        assert presence.running() == []
    file.unlink()
    file.symlink_to("/dev/zero")
    assert presence.running() == []
    file.unlink()
    os.mkfifo(file)
    assert presence.running() == []
    (tmp_path / f"{presence.PREFIX}0-x").touch()
    assert presence.running() == []


def test_a_folder_that_cannot_be_used_stops_no_service(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    monkeypatch.setenv(presence.RUNTIME, "/proc/nowhere")
    with presence.announced(settings(), "ticketscope up"):
        assert presence.running() == []


def test_services_of_other_accounts_are_known_and_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    with other_account() as account:
        account.folder.chmod(0o1777)
        monkeypatch.setenv(presence.RUNTIME, str(account.folder))
        variables = {"TICKETSCOPE_HOME": str(account.folder / "home")}
        waiting = SERVICE.replace("sys.stdin.read()", "import time; time.sleep(60)")
        process = account.start(account.python("-c", waiting), variables)
        try:
            [other] = wait_for(lambda: presence.others(settings()))
            assert (other.account, other.pid) == (account.name, process.pid)
            # A record for a process of another account is not believed.
            forged = record(account.folder, process.pid)
            forged.rename(forged.with_name(f"{presence.PREFIX}{account.uid}-{process.pid}"))
            assert presence.running() == []
        finally:
            process.kill()
            process.communicate()
