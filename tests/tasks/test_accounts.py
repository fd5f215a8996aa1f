"""Commands that root runs in the home of another account leave nothing there that is root's."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.database.database import Database
from engine.study.spec import to_toml
from tasks.process import ROOT
from tests.accounts import Account, other_account
from tests.machine import tiny_study, wait_for

# Each command runs in a child of its own, as root until it gives that up; what they import is imported once.
COMMANDS = """
import json, os, sys
from tasks.__main__ import main
from tasks.services import recorder
from tasks.studies import launch, rebuild
codes = []
for arguments in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        sys.argv = ["tasks", *arguments]
        main()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(codes)
"""


@pytest.fixture
def account(home: Path) -> Iterator[Account]:
    del home
    with other_account() as account:
        yield account


@pytest.fixture
def environment(account: Account) -> dict[str, str]:
    """The settings of a home that belongs to the other account."""
    kept = account.folder / "home"
    kept.mkdir()
    os.chown(kept, account.uid, account.gid)
    return {"TICKETSCOPE_HOME": str(kept), "TICKETSCOPE_RUNTIME": str(account.folder)}


def by_root(account: Account, environment: dict[str, str], *commands: tuple[str, ...], code: int = 0) -> str:
    """Run commands as root, and return their output."""
    done = subprocess.run(
        account.python("-c", COMMANDS, json.dumps(commands)),
        cwd=ROOT,
        env={**os.environ, **account.packages, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith(f"{[code] * len(commands)}\n"), done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_recorder_goes_on_beside_all_that_root_does(account: Account, environment: dict[str, str]) -> None:
    kept = Path(environment["TICKETSCOPE_HOME"])
    copy = str(account.folder / "copy.duckdb")
    recorder = account.start(account.python("-m", "tasks", "recorder"), environment)
    try:
        wait_for((kept / "ticketscope.duckdb").exists)
        output = by_root(account, environment, ("launch", "demo", "--if-empty"))
        assert f"runs as {account.name}, who owns {kept}" in output
        study_id = output.split(" as ")[1].split()[0]
        wait_for(lambda: study_id in by_root(account, environment, ("status",)))
        by_root(
            account,
            environment,
            ("backup", "--out", copy),
            ("backup",),
            ("restore", copy, "--yes"),
            ("rebuild",),
            ("remeasure",),
            ("reclaim", "--yes", "--older", "0"),
            ("share", study_id),
            ("cancel", study_id),
            ("delete", study_id, "--yes"),
            ("restore-study", study_id),
            ("delete", study_id, "--yes", "--for-good"),
        )
        assert recorder.poll() is None
        assert [path for path in account.folder.rglob("*") if path.lstat().st_uid != account.uid] == []
    finally:
        recorder.terminate()
        output, _ = recorder.communicate()
    assert recorder.returncode == 0, output
    assert "denied" not in output


def test_a_file_that_only_root_may_read_is_refused_in_words(
    account: Account, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(to_toml(tiny_study()))
    output = by_root(account, environment, ("launch", str(file)), ("restore", str(file)), code=2)
    assert f"files that it reads or writes must be open to {account.name}" in output
    assert "Traceback" not in output
    assert output.count(str(file)) >= 2


def test_a_settings_file_that_the_owner_may_not_read_is_refused(
    account: Account, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'home = "{environment["TICKETSCOPE_HOME"]}"')
    variables = {**environment, "TICKETSCOPE_HOME": "", "TICKETSCOPE_CONFIG": str(file)}
    assert f"{account.name}, who may not read {file}" in by_root(account, variables, ("status",), code=2)


def test_an_account_without_a_name_keeps_its_home_too(account: Account, environment: dict[str, str]) -> None:
    kept = Path(environment["TICKETSCOPE_HOME"])
    os.chown(kept, 54321, 54321)
    account.folder.chmod(0o755)
    assert "runs as 54321" in by_root(account, environment, ("launch", "demo"))
    assert {path.lstat().st_uid for path in kept.rglob("*")} == {54321}


def test_a_home_of_roots_is_refused_to_others_in_words(account: Account, environment: dict[str, str]) -> None:
    kept = Path(environment["TICKETSCOPE_HOME"])
    os.chown(kept, 0, 0)
    Database(kept / "ticketscope.duckdb").ensure()
    for arguments in (("status",), ("launch", "demo"), ("backup",)):
        tried = account.start(account.python("-m", "tasks", *arguments), environment)
        output, _ = tried.communicate()
        assert tried.returncode == 2, output
        assert "Traceback" not in output
        assert str(kept) in output
