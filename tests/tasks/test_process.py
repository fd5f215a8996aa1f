"""Children end with the process that started them, also where the kernel does not see to it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tasks.process import PARENT, ROOT, python
from tests.machine import alive, free_port, wait_for

PROGRAM = """
import sys, time
from tasks import process
if {portable}:
    process.has_death_signal = lambda: False
if sys.argv[1] == "child":
    process.end_with_parent()
else:
    child = process.spawn(process.python(__file__, "child"))
    print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("portable", [False, True])
def test_a_child_dies_with_its_killed_parent(tmp_path: Path, portable: bool) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(portable=portable))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = python(str(program), "parent")
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not alive(child), 10.0)


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "tasks", "recorder"),
        ("-m", "tasks.worker", "--device", "cpu"),
        ("-m", "streamlit", "run", "app/serve.py", "--server.address", "127.0.0.1", "--server.port", "PORT"),
    ],
)
def test_every_service_looks_for_its_parent(home: Path, command: tuple[str, ...]) -> None:
    # The process that is named as the parent is another one, as if it had ended.
    environment = {**os.environ, PARENT: "1", "TICKETSCOPE_HOME": str(home)}
    arguments = [str(free_port()) if argument == "PORT" else argument for argument in command]
    done = subprocess.run(python(*arguments), cwd=ROOT, env=environment, capture_output=True, timeout=60.0, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_process_may_open_as_many_files_as_the_system_allows() -> None:
    program = (
        "import resource, sys; from tasks.process import raise_open_files\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])))\n"
        "print(raise_open_files(), raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run(python("-c", program, "2048"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2048"] * 4
