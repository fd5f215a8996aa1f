"""Ticketscope's real processes for tests, small studies for them, and waiting for a condition."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from data.database.database import Database
from data.queries import studies
from data.settings import Settings
from engine.study.spec import Study, parse_study
from tasks.broker.connection import client
from tasks.process import python, spawn
from tasks.queue import leases
from tasks.studies import launch

T = TypeVar("T")

# Leases are short, so that the stage of a dead worker is queued again while a test waits.
LEASE_SECONDS = 2.0

# A program that opens the database without Ticketscope: it tries again while somebody writes, as a person does.
NOTEBOOK = """
import sys, time
import duckdb

while True:
    try:
        connection = duckdb.connect(sys.argv[1], read_only=bool(sys.argv[2]))
        break
    except duckdb.IOException:
        time.sleep(0.05)
connection.sql("SELECT count(*) FROM studies").fetchall()
print("open", flush=True)
time.sleep(600)
"""


def wait_for(what: Callable[[], T], seconds: float = 90.0) -> T:
    """Return the first true answer of a function; raise AssertionError where none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds:g} s"
        # A costly question is asked less often, so that it does not slow down what it waits for.
        time.sleep(max(0.05, 5 * (time.monotonic() - began)))


def tiny_study(**changes: object) -> Study:
    """Return a study of 7 trainings that takes a moment."""
    values: dict[str, object] = {
        "name": "Tiny",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "learning_rates": [0.1],
        "pruners": ["iterative", "oneshot"],
        "sparsities": [0.5, 0.9],
        "starts": ["winning_ticket", "finetune"],
        "seeds": [0],
        "train_images": 100,
        "test_images": 100,
        "recipe": {"epochs": 4, "batch_size": 50, "augmentation": "none"},
    }
    return parse_study({**values, **changes})


def diverging_study(**changes: object) -> Study:
    """Return a study of two rates, of which the higher one diverges, since weight decay inflates the weights."""
    recipe = {"epochs": 4, "batch_size": 10, "augmentation": "none", "weight_decay": 1.0}
    return tiny_study(**{"name": "Diverging", "learning_rates": [0.1, 10.0], "recipe": recipe, **changes})


def long_study(epochs: int = 400, **changes: object) -> Study:
    """Return a study of one dense training of several seconds, whose first checkpoint comes after a fifteenth of it."""
    empty: dict[str, object] = {"pruners": [], "sparsities": [], "starts": []}
    recipe = {"epochs": epochs, "batch_size": 32, "augmentation": "none"}
    return tiny_study(**{"name": "Long", "train_images": 1000, "recipe": recipe, **empty, **changes})


def endless_study() -> Study:
    """Return a study of 7 trainings that would take hours, since each of their many steps trains on one image."""
    return tiny_study(train_images=1000, recipe={"epochs": 10_000, "batch_size": 1, "augmentation": "none"})


def folder_of_images(path: Path) -> Path:
    """Write a dataset of the classes dark and light in ImageFolder's layout, and return its folder."""
    draws = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 10)):
        for label, level in (("dark", 40), ("light", 200)):
            folder = path / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(level - 40, level + 40, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return path


def functions(thread: threading.Thread) -> list[str]:
    """Return the names of the functions that a thread is in."""
    names, frame = [], sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


class Machine:
    """Starts and kills recorders and workers of one home."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.database = Database(config.database)
        self.redis = client(config)
        self.logs = config.home / "logs"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, log: str = "part") -> "subprocess.Popen[bytes]":
        """Start a Python command whose output goes to a log."""
        process = spawn(python(*arguments), self.logs / f"{log}.log")
        self._processes.append(process)
        return process

    def recorder(self) -> "subprocess.Popen[bytes]":
        """Start a recorder that looks for expired leases often."""
        return self.start("-m", "tasks", "recorder", "--reap", "0.3", "--stale", "1", log="recorder")

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start one worker process without the supervisor that would restart it."""
        options = ("--device", "cpu", "--lease", str(LEASE_SECONDS), "--verbose")
        return self.start("-m", "tasks.worker", *options, log="worker")

    def wait_until(self, study_id: str, state: str = "done", seconds: float = 120.0) -> None:
        """Wait until DuckDB has a study in a state."""

        def reached() -> bool:
            rows = studies.studies(self.database)
            return state in set(rows[rows["study_id"] == study_id]["state"])

        try:
            wait_for(reached, seconds)
        except AssertionError as error:
            logs = "\n".join(file.read_text()[-3000:] for file in self.logs.glob("*.log"))
            raise AssertionError(f"{leases.counts(self.redis, study_id)}\n{logs}") from error

    def recorded_done(self, study_id: str) -> int:
        """Return how many stages of a study DuckDB holds as done; none of a study that it does not hold yet."""
        rows = studies.studies(self.database)
        return int(rows.loc[rows["study_id"] == study_id, "done"].sum())

    def recorded_epochs(self, study_id: str) -> int:
        """Return how many epochs of a study DuckDB holds."""
        with self.database.reading() as connection:
            query = "SELECT count(*) FROM epochs JOIN study_stages USING (fingerprint) WHERE study_id = ?"
            row = connection.execute(query, [study_id]).fetchone()
        return int(row[0]) if row else 0

    def launch(self, study: Study) -> str:
        """Launch a study, also one that equals an earlier one, and return its id."""
        return launch.launch(study, again=True)

    def stop(self) -> None:
        """Kill every process that was started here."""
        for process in self._processes:
            # The home is removed after the test, so the processes need not end in order.
            process.kill()
            process.wait()
        self.redis.close()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(port: int) -> bool:
    """Return whether the dashboard of a port answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Return whether a process runs; an ended process that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@contextmanager
def notebook(database: Path, read_only: bool) -> Iterator["subprocess.Popen[str]"]:
    """Hold a database open in another program, as a notebook does, within the block."""
    script = database.with_name("analysis.py")
    script.write_text(NOTEBOOK, encoding="utf-8")
    command = python(str(script), str(database), "read-only" if read_only else "")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()
