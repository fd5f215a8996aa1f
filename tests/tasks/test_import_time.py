"""Processes that train nothing do not import PyTorch, which takes two seconds and a quarter of a gigabyte."""

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
from engine.study.spec import to_toml
from tasks.process import ROOT
from tests.data.made_results import Stream, made_results, made_study, whole_study, without_masks
from tests.machine import free_port, tiny_study, wait_for

# The line that `-X importtime` writes for each module.
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.M)


def modules(text: str) -> set[str]:
    """Return the modules that a process imported."""
    return set(IMPORTED.findall(text))


def run(*arguments: str) -> set[str]:
    """Run a command of the command line, and return the modules that it imported."""
    command = [sys.executable, "-X", "importtime", "-m", "tasks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return modules(done.stderr)


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[None]:
    """Run a command for the block and interrupt it then; its output and imports are in the log."""
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
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stderr
    assert {"torch", "torch.nn"} <= modules(text)


def test_status_imports_neither_torch_nor_celery(database: Database) -> None:
    database.record(whole_study(Stream(), plan(made_study(), {"digits": DATASETS["digits"].identity})))
    imported = run("status")
    assert "data.queries.studies" in imported
    assert not imported & {"torch", "celery.app.base", "fsspec"}


def test_launching_does_not_import_torch(home: Path) -> None:
    imported = run("launch", "demo")
    assert "data.datasets.registry" in imported
    assert "torch" not in imported


def test_a_plan_whose_speed_is_known_does_not_import_torch(database: Database) -> None:
    database.record(whole_study(Stream(), plan(made_study(), {"digits": DATASETS["digits"].identity})))
    imported = run("plan", "demo")
    assert "engine.study.cost" in imported
    assert "torch" not in imported


def test_looking_for_results_to_complete_does_not_import_torch(database: Database) -> None:
    planned = plan(made_study(), {"digits": DATASETS["digits"].identity})
    old = {fingerprint: without_masks(result) for fingerprint, result in made_results(planned).items()}
    database.record(whole_study(Stream(), planned, results=old))
    # None of the results has weights.
    imported = run("remeasure", "--at-start")
    assert "data.queries.incomplete" in imported
    assert "torch" not in imported


def test_the_recorder_does_not_import_torch(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "recorder.log"
    with running(log, "recorder"):
        wait_for(lambda: "recording into" in log.read_text())
    imported = modules(log.read_text())
    assert "tasks.services.reaper" in imported
    assert "torch" not in imported


@pytest.mark.parametrize("command", [("up", "--workers", "1", "--port"), ("worker", "--processes", "1")])
def test_supervisors_do_not_import_torch(home: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    log = tmp_path / "supervisor.log"
    port = (str(free_port()),) if command[0] == "up" else ()
    with running(log, *command, *port):
        # The worker imports torch in a process of its own, which does not log its imports.
        worker_log = home / "logs" / "worker-1.log" if command[0] == "up" else log
        wait_for(lambda: worker_log.exists() and "is ready on" in worker_log.read_text())
    imported = modules(log.read_text())
    assert {"tasks.services.up", "tasks.services.supervisor"} <= imported
    assert "torch" not in imported


def test_a_training_imports_neither_the_compiler_of_torch_nor_scikit_learn(home: Path, tmp_path: Path) -> None:
    del home
    study = tmp_path / "tiny.toml"
    study.write_text(to_toml(tiny_study(pruners=[], sparsities=[], starts=[])), encoding="utf-8")
    imported = run("run", str(study), "--out", str(tmp_path / "out"), "--device", "cpu")
    assert "torch.optim.sgd" in imported
    assert not {name for name in imported if name.startswith(("torch._dynamo.", "sklearn."))}
