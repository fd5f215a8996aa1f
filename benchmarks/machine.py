"""What a benchmark ran on, and the dashboard that it looks at."""

import importlib.metadata
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

ROOT = Path(__file__).parents[1]
PACKAGES = ("streamlit", "altair", "duckdb", "pandas", "playwright")


def described() -> dict[str, object]:
    """Return the processor, its cores, and the versions of what counts for speed."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}


@contextmanager
def dashboard(home: Path) -> Iterator[str]:
    """Run the dashboard in a process of its own and yield its address; RuntimeError where it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "app/serve.py", "--server.port", str(port)]
    log = home / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "TICKETSCOPE_HOME": str(home)}, stdout=output, stderr=output
        )
        try:
            if not _answers(f"http://localhost:{port}/_stcore/health", process):
                raise RuntimeError(f"the dashboard did not start; {log} says why")
            yield f"http://localhost:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(address: str, process: "subprocess.Popen[bytes]") -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False
