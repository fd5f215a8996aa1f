"""Another account of this machine, with a folder that it can reach."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.process import ROOT

# Linux has it, as has macOS, and nothing belongs to it.
NAME = "nobody"


class Account:
    """An account other than root's; folder: one that it owns; python: the tests' Python where this account reads it."""

    def __init__(self, folder: Path, python: Path) -> None:
        entry = pwd.getpwnam(NAME)
        self.name, self.uid, self.gid = NAME, entry.pw_uid, entry.pw_gid
        self.folder, self._python = folder, python
        # Where it finds the program, its packages, and Python's own library.
        paths = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
        self.packages = {"PYTHONPATH": paths, "LD_LIBRARY_PATH": str(python.parents[1] / "lib")}
        os.chown(folder, self.uid, self.gid)

    def python(self, *arguments: str) -> list[str]:
        """Return a command that this account may run."""
        return [str(self._python), *arguments]

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Start a command as this account."""
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **self.packages, "HOME": str(self.folder), **environment},
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def _mounted(folder: str) -> Iterator[Path]:
    """Show a folder below /tmp as well, read-only, where all accounts reach it."""
    place = tempfile.mkdtemp(prefix="ticketscope-python-", dir="/tmp")
    try:
        Path(place).chmod(0o755)
        done = subprocess.run(
            ["mount", "--bind", "-o", "ro", folder, place], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"{NAME} cannot read {folder}, and it cannot be mounted elsewhere: {done.stderr}")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        # Only an empty folder is removed, never what is mounted.
        Path(place).rmdir()


@contextmanager
def other_account() -> Iterator[Account]:
    """Yield another account, after skipping the test where there is none or where it cannot read the program."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can work as another account")
    folder = Path(tempfile.mkdtemp(prefix="ticketscope-test-", dir="/tmp"))
    try:
        with _mounted(sys.base_prefix) as prefix:
            account = Account(folder, prefix / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
            tried = account.start(account.python("-c", "import tasks.process, redis"), {})
            output, _ = tried.communicate()
            if tried.returncode:
                pytest.skip(f"{NAME} cannot run the program from here: {output[-300:]}")
            yield account
    finally:
        shutil.rmtree(folder)
