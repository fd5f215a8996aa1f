"""Ticketscope as an installed package: a wheel, in an environment of its own, used from another folder."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from data.database.database import Database
from data.queries import studies
from data.settings import ALLOWED
from engine.paper.citation import VERSION
from tests.machine import free_port, healthy, wait_for

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "data", "engine", "studies", "tasks", "ticketscope")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, since building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "pyproject.toml",
        "requirements.txt",
        "requirements-hf.txt",
        "requirements-notify.txt",
        "README.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / name, folder / "source" / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(folder / "source")], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def program(wheel: Path) -> Path:
    """The command of an environment that has the wheel, and all that it requires from this environment."""
    environment = wheel.with_name("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
    )
    [packages] = (environment / "lib").glob("python3.*/site-packages")
    # A line of such a file is a folder; the .pth files in that folder, which name this checkout, are not read.
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "ticketscope"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment variables of a user who has set nothing."""
    return {
        **{name: value for name, value in os.environ.items() if name not in (*ALLOWED, "PYTHONPATH")},
        "XDG_DATA_HOME": str(tmp_path / "share"),
    }


def test_the_wheel_has_every_file(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected == {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_command_works_from_another_folder(program: Path, environment: dict[str, str], tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        command = [program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert call("--version") == f"ticketscope {VERSION}\n"
    assert "126" in call("plan", "demo")
    assert not (tmp_path / "share").exists()


def test_up_serves_the_dashboard_and_trains_the_demo(
    program: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    command = [program, "up", "--port", str(port), "--workers", "1"]
    # A proxy that does not reach this machine's own services.
    environment |= {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    printed = tmp_path / "up.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: healthy(port))
        assert f"command    {program}\n" in printed.read_text()
        wait_for(lambda: f"dashboard  http://localhost:{port}" in printed.read_text(), 20.0)
        database = Database(tmp_path / "share" / "ticketscope" / "ticketscope.duckdb")
        wait_for(lambda: database.path.exists() and any(studies.studies(database)["done"] > 0))
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(30.0) == 0
