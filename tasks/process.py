"""Starting child processes, which by default end with the process that started them."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_PR_SET_PDEATHSIG = 1
# Where the kernel does not kill a child with its parent, this variable names the parent to the child, which looks for
# it so often.
PARENT = "TICKETSCOPE_PARENT"
PARENT_SECONDS = 0.5
# macOS refuses more, although it names no limit.
MOST_OPEN_FILES = 10_240 if sys.platform == "darwin" else 1_048_576


def spawn(
    command: Sequence[str], log: Path | None = None, tied: bool = True, extra: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, so that Ctrl-C does not reach it, and return its process.

    log: the file that its output is appended to; None for this process's own output. tied: the command ends when this
    process does, even if that is killed: on Linux by the kernel, elsewhere by `end_with_parent`. extra: environment
    variables besides those of this process. Raises OSError if the command cannot be started.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(extra or {})}
    environment.pop(PARENT, None)
    if tied and not has_death_signal():
        environment[PARENT] = str(os.getpid())
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


def raise_open_files() -> int:
    """Let this process open as many files and sockets as the system allows it, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft


def tie_to_parent() -> None:
    """Make the kernel kill this process when the thread that started it ends; on Linux only."""
    if has_death_signal():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def has_death_signal() -> bool:
    """Return whether the kernel tells a process that its parent has ended, as Linux does."""
    return sys.platform == "linux"


def end_with_parent() -> None:
    """Kill this process once the one that `spawn` tied it to has ended; nothing where the kernel does this."""
    if PARENT in os.environ:
        threading.Thread(target=_watch, args=(int(os.environ[PARENT]),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with some arguments."""
    return [sys.executable, *arguments]


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function at SIGINT and SIGTERM within the block, in place of what else they do."""
    if threading.current_thread() is not threading.main_thread():
        # Signals reach the main thread alone, which then decides.
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
