"""install.py makes an environment, and mends one that is half made, damaged or of another Python."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Install = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout that requires nothing, so that no network is needed."""
    folder = tmp_path / "the checkout"
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "__main__.py").write_text("import sys\nprint('it runs', *sys.argv[1:])\n")
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-notify.txt", "constraints.txt"):
        (folder / name).write_text("")
    for name in ("install.py", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def install(folder: Path) -> Install:
    """A function that runs install.py, after some statements, and returns its exit status and output."""

    def call(*statements: str) -> tuple[int, str]:
        program = "; ".join(["import runpy, sys", *statements, "runpy.run_path('install.py', run_name='__main__')"])
        command = [sys.executable, "-c", program]
        # No network, and no settings of this machine's pip.
        environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return call


def runs(folder: Path) -> bool:
    """Return whether the command of the environment runs from another folder."""
    command = [folder / ".venv" / "bin" / "ticketscope", "a study.toml"]
    return (
        subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout == "it runs a study.toml\n"
    )


def test_an_environment_is_made_once_and_follows_its_requirements(folder: Path, install: Install) -> None:
    assert install()[0] == 0
    assert runs(folder)
    assert install() == (0, "")
    # A requirement that cannot be had is an error, and what is there stays and is used once it is mended.
    (folder / "requirements.txt").write_text("no-such-package-anywhere\n")
    marker = folder / ".venv" / "marker"
    marker.touch()
    code, output = install()
    assert code == 1
    assert "no-such-package-anywhere" in output
    assert "pip could not install everything" in output
    (folder / "requirements.txt").write_text("# nothing\n")
    assert install()[0] == 0
    assert install() == (0, "")
    assert marker.exists()


def half_made(folder: Path) -> None:
    """Leave what `python3 -m venv` leaves on a Debian without its package python3-venv."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)


def of_another_python(folder: Path) -> None:
    """Leave an environment whose packages are those of another minor version."""
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    [packages] = (folder / ".venv" / "lib").glob("python3.*")
    packages.rename(packages.with_name("python3.1"))


def whose_python_is_gone(folder: Path) -> None:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")


def a_dangling_link(folder: Path) -> None:
    (folder / ".venv").symlink_to("/nowhere")


def a_file(folder: Path) -> None:
    (folder / ".venv").write_text("")


@pytest.mark.parametrize("damage", [half_made, of_another_python, whose_python_is_gone, a_dangling_link, a_file])
def test_a_damaged_environment_is_made_anew(folder: Path, install: Install, damage: Callable[[Path], None]) -> None:
    damage(folder)
    code, output = install()
    assert code == 0, output
    assert "made anew" in output
    assert runs(folder)


def test_a_copied_environment_is_made_anew(folder: Path, install: Install, tmp_path: Path) -> None:
    assert install()[0] == 0
    folder.rename(tmp_path / "old")
    shutil.copytree(tmp_path / "old", folder.with_name("new"), symlinks=True)
    (tmp_path / "new").rename(folder)
    assert install() == (0, "")
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    done = subprocess.run([sys.executable, "install.py"], cwd=elsewhere, capture_output=True, text=True, check=True)
    assert "made anew" in done.stdout
    assert runs(elsewhere)


def test_an_active_environment_is_made_anew_by_its_own_python(folder: Path, install: Install) -> None:
    assert install()[0] == 0
    [pip] = (folder / ".venv" / "lib").glob("python3.*/site-packages/pip")
    shutil.rmtree(pip)
    active = {**os.environ, "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(["python3", "install.py"], cwd=folder, env=active, capture_output=True, text=True, check=True)
    assert "made anew" in done.stdout
    assert runs(folder)


@pytest.mark.parametrize("version", ["(3, 9, 2)", "(3, 10, 14)", "(3, 15, 0)"])
def test_a_python_without_wheels_is_refused(folder: Path, install: Install, version: str) -> None:
    code, output = install(f"sys.version_info = {version}")
    assert code == 1
    assert "needs Python 3.11 to 3.14" in output
    assert "make PYTHON=python3.14 up" in output
    assert not (folder / ".venv").exists()


def test_a_sound_environment_is_used_whatever_python_calls(folder: Path, install: Install) -> None:
    assert install()[0] == 0
    assert install("sys.version_info = (3, 9, 2)", "sys.modules['ensurepip'] = None") == (0, "")
    (folder / "requirements.txt").write_text("# changed\n")
    assert install("sys.version_info = (3, 9, 2)")[0] == 0
    assert runs(folder)


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_package_of_the_system_is_named(folder: Path, install: Install, module: str) -> None:
    code, output = install(f"sys.modules['{module}'] = None")
    assert code == 1
    assert f"has no module {module}" in output
    assert f"apt install python3.{sys.version_info.minor}-venv" in output
    assert not (folder / ".venv").exists()


def test_an_environment_that_cannot_be_made_leaves_nothing(folder: Path, install: Install) -> None:
    code, output = install("import subprocess as s; run = s.run", "s.run = lambda c, **k: run(['false'], **k)")
    assert code == 1
    assert "making .venv failed; nothing of it is left" in output
    assert not (folder / ".venv").exists()


def test_pytorch_that_a_lab_installed_first_is_left_as_it_is(folder: Path, install: Install) -> None:
    (folder / "requirements.txt").write_text("torch>=2.11\n")
    (folder / "constraints.txt").write_text("torch==2.13.0\n")
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    [packages] = (folder / ".venv" / "lib").glob("python3.*/site-packages")
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").touch()
    record = packages / "torch-2.12.0+rocm9.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.12.0+rocm9\n")
    code, output = install()
    assert code == 0, output
    assert "PyTorch was in .venv before" in output
    # Later calls know it still.
    (folder / "constraints.txt").write_text("torch==2.14.0\n")
    assert install()[0] == 0
    assert record.exists()


def make(folder: Path, target: str, answer: str = "") -> str:
    command = ["make", "--no-print-directory", "-C", str(folder), target]
    return subprocess.run(command, input=answer, capture_output=True, text=True, check=True).stdout


def test_clean_keeps_the_studies_and_erase_asks_first(folder: Path, install: Install) -> None:
    assert install()[0] == 0
    study = folder / "var" / "ticketscope.duckdb"
    study.parent.mkdir()
    study.touch()
    make(folder, "clean")
    assert not (folder / ".venv").exists()
    assert study.exists()
    assert "nothing was removed" in make(folder, "erase", "y\n")
    assert "nothing was removed" in make(folder, "erase")
    assert study.exists()
    assert "removed var" in make(folder, "erase", "yes\n")
    assert not study.parent.exists()
