"""Starting child processes, which by default end with the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_PR_SET_PDEATHSIG = 1


def spawn(
    command: Sequence[str], log: Path | None = None, tied: bool = True, extra: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, so that Ctrl-C does not reach it, and return its process.

    log: the file that its output is appended to; None for this process's own output. tied: on Linux, the kernel kills
    the command when the calling thread ends. extra: environment variables besides those of this process. Raises OSError
    if the command cannot be started.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(extra or {})}
    tie = tie_to_parent if tied else None
    if log is None:
        return _start(command, environment, tie, None)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return _start(command, environment, tie, file.fileno())


def _start(
    command: Sequence[str], environment: Mapping[str, str], tie: Callable[[], None] | None, output: int | None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        list(command),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=tie,
    )


def tie_to_parent() -> None:
    """Make the kernel kill this process when the thread that started it ends; on Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with some arguments."""
    return [sys.executable, *arguments]
