"""Make .venv with all that Ticketscope runs on: python3 install.py [--dev], which make calls.

Only what differs from the last call is installed. An environment that is damaged, half made, copied from
another folder or of another Python is made anew.
"""

# This file runs on whatever Python is here, so it uses the oldest words of the language and nothing that is installed.

import hashlib
import json
import os
import shutil
import subprocess
import sys

# CONTRIBUTING says how a Python is added: every requirement must have a wheel for it.
OLDEST, NEWEST = (3, 11), (3, 14)
HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "ticketscope.json")
# A lab may install its own build of these first, for its driver or for ROCm; then it is left as it is.
TORCH = ("torch", "torchvision")
COMMAND = """\
#!/bin/sh
exec "{}" -m tasks "$@"
"""
PROBE = (
    "import json, sys, pip, importlib.util as u; "
    "print(json.dumps([list(sys.version_info[:2]), u.find_spec('torch') is not None]))"
)


class Problem(Exception):
    """Something that the user has to mend; the message says what and how."""


def text(*version):
    """Return a version as it is written."""
    return ".".join(str(part) for part in version)


def check_python():
    """Refuse a Python on which the requirements do not install."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise Problem(
            "Ticketscope needs Python {} to {}, and {} is {}. Give another one, for example:\n"
            "    make PYTHON=python{} up".format(
                text(*OLDEST), text(*NEWEST), sys.executable, text(*sys.version_info[:3]), text(*NEWEST)
            )
        )
    try:
        import ensurepip
        import venv
    except ImportError as error:
        raise Problem(
            "{} cannot make environments: it has no module {}. On Debian and Ubuntu, this installs it:\n"
            "    apt install python{}-venv".format(sys.executable, error.name, text(*sys.version_info[:2]))
        ) from None
    del ensurepip, venv


def environment():
    """Return the version of the environment's Python and whether PyTorch is in it, None if the environment is unfit."""
    try:
        done = subprocess.run(
            [PYTHON, "-I", "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        version, torch = json.loads(done.stdout.decode())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    # The packages of another minor version lie in a folder that this one does not read.
    folder = os.path.join(VENV, "lib", "python" + text(*version), "site-packages", "pip")
    return (tuple(version), torch) if os.path.isdir(folder) else None


def make_environment():
    """Make the environment anew, of the Python that runs this file."""
    check_python()
    if os.path.lexists(VENV):
        print("the environment in .venv is damaged, copied or of another Python; it is made anew", flush=True)
        remove()
    # Where the old environment is active, this Python is its, and has just been removed.
    python = getattr(sys, "_base_executable", None) or sys.executable
    done = subprocess.run([python, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        remove()
        raise Problem("making .venv failed; nothing of it is left:\n" + done.stdout.decode(errors="replace").strip())


def remove():
    """Remove the environment, also one that is a link or a file."""
    if os.path.isdir(VENV) and not os.path.islink(VENV):
        shutil.rmtree(VENV)
    elif os.path.lexists(VENV):
        os.unlink(VENV)


def read(name):
    """Return the text of a file of this folder."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def pip(*arguments):
    """Run pip in the environment."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    if subprocess.run(command, cwd=HERE).returncode:
        raise Problem(
            "pip could not install everything; its last lines say why. What is installed stays: once that is mended "
            "(a network, a proxy, free space), the same command goes on from here"
        )


def install_command():
    """Install the command ticketscope, which runs the code of this folder from any other one."""
    folder = subprocess.check_output([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    with open(os.path.join(folder.decode().strip(), "ticketscope.pth"), "w", encoding="utf-8") as file:
        file.write(HERE + "\n")
    command = os.path.join(VENV, "bin", "ticketscope")
    with open(command, "w", encoding="utf-8") as file:
        file.write(COMMAND.format(PYTHON))
    os.chmod(command, 0o755)


def install(dev):
    """Install what is missing; dev: also what tests and checks need."""
    found = environment()
    try:
        with open(STAMP, encoding="utf-8") as file:
            before = json.load(file)
    except (OSError, ValueError):
        before = None
    # The programs in an environment name its folder, so that a copied or moved one runs the old one's.
    moved = before is not None and before.get("folder") != HERE
    if found is None or moved or not OLDEST <= found[0] <= NEWEST:
        make_environment()
        found, before = (sys.version_info[:2], False), None
    if before is None:
        # Installations of version 0.2.0 and before left this file instead, after installing PyTorch themselves.
        ours = os.path.exists(os.path.join(VENV, ".installed"))
        before = {"own_torch": found[1] and not ours}
    names = ["install.py", "requirements.txt", "constraints.txt"]
    names += ["requirements-dev.txt", "requirements-notify.txt"] * dev
    wanted = {name: hashlib.sha256(read(name).encode()).hexdigest() for name in names}
    wanted["folder"] = HERE
    wanted["own_torch"] = before.get("own_torch", False)
    if all(before.get(name) == value for name, value in wanted.items()):
        return
    constraints = os.path.join(VENV, "constraints.txt")
    lines = read("constraints.txt").splitlines()
    if wanted["own_torch"]:
        lines = [line for line in lines if line.split("==")[0] not in TORCH]
        print("PyTorch was in .venv before; that build is left as it is", flush=True)
    with open(constraints, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    pip("-r", "requirements.txt", "-c", constraints, *(["-r", "requirements-dev.txt"] if dev else []))
    install_command()
    with open(STAMP, "w", encoding="utf-8") as file:
        json.dump(dict(before, **wanted), file)


if __name__ == "__main__":
    if set(sys.argv[1:]) - {"--dev"}:
        sys.exit("usage: python3 install.py [--dev]")
    try:
        install("--dev" in sys.argv[1:])
    except Problem as problem:
        sys.exit("error: {}".format(problem))
    except OSError as problem:
        sys.exit("error: {}; the environment belongs in {}".format(problem, VENV))
