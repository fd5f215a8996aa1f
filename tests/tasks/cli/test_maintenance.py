"""The commands that back up, repair and delete data: their output and the questions they ask first."""

import io
import os
import re
import threading
from pathlib import Path

import duckdb
import pytest
from redis import Redis

from data import shared_links
from data.artifacts.store import Artifacts
from data.database import backup
from data.database import database as module
from data.database.database import Database
from data.queries import studies
from data.settings import settings
from tasks.queue import leases
from tasks.services import recorder
from tasks.studies import launch
from tests.machine import tiny_study
from tests.tasks.conftest import Command
from tests.tasks.studies.test_delete import make_old
from tests.tasks.studies.test_rebuild import planned, train


@pytest.fixture
def study_id(redis: Redis) -> str:
    """A recorded study with two finished stages."""
    launched = launch.launch(tiny_study())
    train(redis, planned(), 2)
    recorder.drain_idle(settings())
    return launched


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to every question is no."""
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))


def test_a_backup_has_a_new_name_and_can_be_restored(command: Command, study_id: str, home: Path) -> None:
    code, output, error = command("backup")
    assert code == 0, error
    [copy] = (home / "backups").iterdir()
    assert str(copy) in output
    assert "1 study, 2 of 7 stages with results" in output
    assert command("backup", "--out", str(copy))[0] == 2
    assert command("backup", "--out", str(copy), "--force")[0] == 0
    later = launch.launch(tiny_study(seeds=[4]))
    recorder.drain_idle(settings())
    code, output, error = command("restore", str(copy), "--yes")
    assert code == 0, error
    assert f"{later} Tiny is reported to the database again" in output
    assert len(list(home.glob("ticketscope.duckdb.before-*"))) == 1
    assert set(studies.studies(Database(settings().database))["study_id"]) == {study_id, later}
    assert "nothing had to be done" in command("rebuild")[1]


def test_links_that_ended_do_not_come_back_with_a_backup(command: Command, study_id: str, home: Path) -> None:
    addresses = [re.findall(r"http\S+", command("share", study_id)[1])[0] for _ in range(2)]
    tokens = [address.split("=")[1] for address in addresses]
    assert command("backup")[0] == 0
    [copy] = (home / "backups").iterdir()
    assert command("share", "--revoke", addresses[0])[0] == 0
    assert command("restore", str(copy), "--yes")[0] == 0
    database = Database(settings().database)
    assert [shared_links.find(database, token) is None for token in tokens] == [True, False]
    listed = command("share", "--list")[1]
    assert (listed.count("revoked"), listed.count("works")) == (1, 1)
    assert command("delete", study_id, "--yes", "--for-good")[0] == 0
    assert command("restore", str(copy), "--yes")[0] == 0
    assert study_id in command("status")[1]
    assert [shared_links.find(database, token) for token in tokens] == [None, None]
    assert command("share", "--list")[1].count("revoked") == 2


@pytest.mark.usefixtures("refusing")
def test_nothing_is_restored_deleted_or_reclaimed_without_consent(
    command: Command, study_id: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.duckdb"
    backup.backup(Database(settings().database), copy)
    artifacts = Artifacts(settings().artifacts)
    artifacts.save("1" * 32, "trained", {})
    make_old()
    before = artifacts.all_files()
    assert command("restore", str(copy))[0] == 1
    code, output, _ = command("delete", study_id[:6])
    assert code == 1
    assert "The Trash can bring it back" in output
    code, output, _ = command("delete", study_id[:6], "--for-good")
    assert code == 1
    assert "7 stages that no other study has" in output
    code, output, _ = command("reclaim")
    assert code == 1
    assert "1 file of weights" in output
    assert artifacts.all_files() == before
    assert studies.study(Database(settings().database), study_id).counts["done"] == 2
    assert not list(settings().home.glob("*.before-*"))


def test_a_study_is_deleted_by_the_beginning_of_its_id(command: Command, study_id: str, redis: Redis) -> None:
    code, output, error = command("delete", study_id[:6], "--yes")
    assert code == 0, error
    moved = f"moved {study_id} to the Trash; ticketscope restore-study {study_id} brings it back"
    # A terminal breaks long lines.
    assert moved in " ".join(output.split())
    assert study_id not in command("status")[1]
    assert study_id in command("status", "--trash")[1]
    assert leases.studies(redis) == [study_id]
    for refused in (("delete", study_id, "--yes"), ("status", study_id), ("retry", study_id), ("share", study_id)):
        code, _, error = command(*refused)
        assert (code, "is in the Trash; ticketscope restore-study" in error) == (2, True), refused
    assert f"brought {study_id} back" in command("restore-study", study_id[:6])[1]
    assert study_id in command("status")[1]
    assert command("status", "--trash")[1].strip() == "the Trash is empty"
    assert "is not in the Trash" in command("restore-study", study_id)[2]
    assert command("delete", study_id, "--yes")[0] == 0
    code, output, error = command("delete", study_id[:6], "--yes", "--for-good")
    assert code == 0, error
    assert f"deleted {study_id} and 7 stages" in output
    assert leases.studies(redis) == []
    assert study_id not in command("status")[1]
    assert command("delete", study_id)[0] == 2


def test_a_deleted_demo_is_not_launched_again(command: Command, study_id: str) -> None:
    assert command("delete", study_id, "--yes")[0] == 0
    code, output, _ = command("launch", "demo", "--if-empty")
    assert (code, output.strip()) == (0, "studies were launched here before")


def test_orphans_are_reported_and_removed(command: Command, study_id: str) -> None:
    del study_id
    artifacts = Artifacts(settings().artifacts)
    artifacts.save("1" * 32, "trained", {})
    code, output, _ = command("reclaim", "--yes")
    assert code == 0
    assert "spared" in output
    assert "nothing to reclaim" in output
    code, output, _ = command("reclaim", "--yes", "--older", "0")
    assert code == 0
    assert "removed 1 file," in output
    assert not artifacts.exists("1" * 32, "trained")


def test_a_copied_dataset_is_reclaimed_once_no_study_uses_it(command: Command, study_id: str, tmp_path: Path) -> None:
    del study_id
    artifacts = Artifacts(settings().artifacts)
    (tmp_path / "images").write_bytes(b"images")
    needed, other = next(iter(planned().stages.values())).images.identity, "2" * 32
    Path(settings().artifacts, "datasets").mkdir()
    for identity in (needed, other):
        artifacts.save_dataset(identity, tmp_path / "images")
    code, output, _ = command("reclaim", "--yes", "--older", "0")
    assert code == 0
    assert "1 file of datasets" in output
    assert artifacts.has_dataset(needed)
    assert not artifacts.has_dataset(other)


def test_status_names_rebuild_where_the_queue_lost_a_study(command: Command, study_id: str, redis: Redis) -> None:
    assert "rebuild" not in command("status", study_id)[1]
    redis.flushall()
    assert "ticketscope rebuild" in command("status", study_id)[1]
    assert f"{study_id} Tiny is in the queue again: 2 done" in command("rebuild")[1]
    assert "rebuild" not in command("status", study_id)[1]


def test_a_database_of_a_newer_version_is_refused_by_every_command(command: Command, study_id: str) -> None:
    path = settings().database
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    before = path.read_bytes()
    for arguments in (
        ("status",),
        ("status", study_id),
        ("rebuild",),
        ("delete", study_id, "--yes"),
        ("reclaim", "--yes"),
        ("backup",),
        ("restore", str(path.with_name("x")), "--yes"),
    ):
        code, _, error = command(*arguments)
        assert code == 2, arguments
        assert "Traceback" not in error
        assert "has version 999" in error or arguments[0] == "restore", (arguments, error)
    assert path.read_bytes() == before


def test_a_command_waits_for_others_for_a_while_and_names_them(
    command: Command, study_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Database(settings().database).at_rest():
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(10)
        code, _, error = command("delete", study_id, "--yes", "--for-good")
    finally:
        done.set()
        thread.join()
    assert code == 2
    assert f"(process {os.getpid()}) since" in error
    assert "try again when that has ended" in error
    assert command("delete", study_id, "--yes", "--for-good")[0] == 0
