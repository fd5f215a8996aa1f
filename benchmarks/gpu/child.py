"""The ends of a measurement in a process of its own, so that a crash, a leak or a lack of time costs only itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process import python, spawn

LOOK_SECONDS = 0.1
# Returns a moment of the monotonic clock.
Until = Callable[[], float]
# The lines of a log that say why a process failed.
LAST_LINES = 3


@dataclass(frozen=True)
class Ended:
    """How a process ended: the code is None where the time was up; words: the end of its log where it failed."""

    code: int | None
    seconds: float
    words: str = ""

    @property
    def why(self) -> str:
        """Why it did not end by itself in order; empty where it did."""
        return "" if self.code == 0 else "cut off: the time was up" if self.code is None else f"failed: {self.words}"


def run(
    command: list[str], log: Path, until: Until, grace: float = 0.0, look: Callable[[], None] = lambda: None
) -> Ended:
    """Run a command until it ends, or until a moment of the monotonic clock, which may move.

    log: the file of its output, written anew. grace: seconds between the request to stop and the kill, which follows at
    once without any. look: called many times a second, and once after the end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    begin = time.monotonic()
    process = spawn(command, log)
    requested = False
    try:
        while process.poll() is None:
            look()
            if time.monotonic() >= until() + grace:
                break
            if time.monotonic() >= until() and not requested:
                requested = True
                process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            # The processes that it started are of its group.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    look()
    code = (
        None
        if requested or (process.returncode == -signal.SIGKILL and time.monotonic() >= until())
        else process.returncode
    )
    return Ended(code, time.monotonic() - begin, _last_words(log) if code else "")


def start(
    module: str, task: dict[str, Any], folder: Path, until: Until, said: Callable[[Any], None], grace: float = 0.0
) -> Ended:
    """Run a module of this package as a process with a task, and pass on each value that it says at once."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, answers = folder / f"{module}.task.json", folder / f"{module}.lines"
    asked.write_text(json.dumps(task), encoding="utf-8")
    answers.write_bytes(b"")
    with answers.open(encoding="utf-8") as file:
        unfinished = ""

        def look() -> None:
            nonlocal unfinished
            *lines, unfinished = (unfinished + file.read()).split("\n")
            for line in lines:
                said(json.loads(line))

        command = python("-m", f"benchmarks.gpu.{module}", str(asked), str(answers))
        return run(command, folder / f"{module}.log", until, grace, look)


def task() -> dict[str, Any]:
    """Return the task of this process."""
    values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return values


def say(value: object) -> None:
    """Pass a value on to the process that started this one."""
    with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-LAST_LINES:])[:600]
