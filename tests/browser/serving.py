"""Runs a dashboard in another process, for browser tests and benchmarks."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from data.settings import ALLOWED
from tests.machine import free_port

ROOT = Path(__file__).parents[2]
DASHBOARD = ("-m", "streamlit", "run", "app/serve.py", "--server.port")


@contextmanager
def served(*command: str, home: Path, port: int | None = None, **variables: str) -> Iterator[str]:
    """Run a Python command, whose last argument is a port, for the block; yield its address."""
    port = port or free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ALLOWED}
    environment |= {"TICKETSCOPE_HOME": str(home), **variables}
    home.mkdir(parents=True, exist_ok=True)
    log = home / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, str(port)], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for(f"http://localhost:{port}/_stcore/health", process, log)
            yield f"http://localhost:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until an address answers; RuntimeError, with the process's output, after three minutes without an answer."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"{address} did not answer; its process printed:\n{log.read_text()}")
