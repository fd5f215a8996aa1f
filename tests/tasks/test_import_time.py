"""What the parts that train nothing import: PyTorch takes two seconds and a quarter of a gigabyte, for nothing."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.database.database import Database
from data.datasets.registry import DATASETS
from engine.study.plan import plan
from tasks.process import ROOT
from tests.data.made_results import Stream, made_results, made_study, of_before, whole_study
from tests.machine import free_port, wait_for

# What `-X importtime` writes of each module.
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.M)


def modules(said: str) -> set[str]:
    """Return the modules that a process imported."""
    return set(IMPORTED.findall(said))


def run(*arguments: str) -> set[str]:
    """Run a command of the command line; returns the modules that it imported."""
    command = [sys.executable, "-X", "importtime", "-m", "tasks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return modules(done.stderr)


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[None]:
    """Run a command that goes on until it is interrupted, for the block; what it says and imports is in the log."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "tasks", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert process.returncode == 0, log.read_text()[-2000:]


def test_the_names_of_modules_are_read() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import torch.nn"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stderr
    assert {"torch", "torch.nn"} <= modules(said)


def test_status_imports_neither_torch_nor_celery(database: Database) -> None:
    database.record(whole_study(Stream(), plan(made_study(), {"digits": DATASETS["digits"].identity})))
    found = run("status")
    assert "data.queries.studies" in found
    assert not found & {"torch", "celery.app.base", "fsspec"}


def test_launching_does_not_import_torch(home: Path) -> None:
    found = run("launch", "demo")
    assert "data.datasets.registry" in found
    assert "torch" not in found


def test_a_plan_whose_speed_is_known_does_not_import_torch(database: Database) -> None:
    database.record(whole_study(Stream(), plan(made_study(), {"digits": DATASETS["digits"].identity})))
    found = run("plan", "demo")
    assert "engine.study.cost" in found
    assert "torch" not in found


def test_looking_for_results_to_complete_does_not_import_torch(database: Database) -> None:
    made = plan(made_study(), {"digits": DATASETS["digits"].identity})
    old = {fingerprint: of_before(result) for fingerprint, result in made_results(made).items()}
    database.record(whole_study(Stream(), made, results=old))
    # None of their weights is there.
    found = run("remeasure", "--at-start")
    assert "data.queries.incomplete" in found
    assert "torch" not in found


def test_the_recorder_does_not_import_torch(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "recorder.log"
    with running(log, "recorder"):
        wait_for(lambda: "recording into" in log.read_text())
    found = modules(log.read_text())
    assert "tasks.services.reaper" in found
    assert "torch" not in found


@pytest.mark.parametrize("command", [("up", "--workers", "1", "--port"), ("worker", "--processes", "1")])
def test_supervisors_do_not_import_torch(home: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    log = tmp_path / "supervisor.log"
    port = (str(free_port()),) if command[0] == "up" else ()
    with running(log, *command, *port):
        # The worker is a process of its own, which imports torch and says nothing of what it imports.
        said = home / "logs" / "worker-1.log" if command[0] == "up" else log
        wait_for(lambda: said.exists() and "is ready on" in said.read_text())
    found = modules(log.read_text())
    assert {"tasks.services.up", "tasks.services.supervisor"} <= found
    assert "torch" not in found
