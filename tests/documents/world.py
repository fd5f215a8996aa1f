"""Where the commands of documents run: a fresh home with real services, and something to put for each placeholder."""

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

from data.settings import ALLOWED
from engine.study.spec import to_toml
from tasks.__main__ import app
from tests.documents.blocks import ROOT
from tests.machine import folder_of_images, free_port, healthy, tiny_study, wait_for

# A command that takes longer has hung; the longest are studies of some minutes on a busy machine.
SECONDS = 1800.0
# The first study's name; the second one is trained to be deleted.
STUDY, SPARE = "A study of the documents", "A study to delete"


class World:
    """A folder to work in, a home, and services that start when the first command needs them; close it at the end."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="ticketscope-docs-")
        self.folder = Path(self._temporary.name)
        self.work = self.folder / "work"
        self.work.mkdir()
        # A reader is in the checkout; here, what commands write must not land there.
        for name in (".venv", "studies", "benchmarks", "docs"):
            (self.work / name).symlink_to(ROOT / name)
        self.environment = {name: value for name, value in os.environ.items() if name not in ALLOWED}
        # Threads of a script would fight with the workers for the cores.
        self.environment |= {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        self.environment |= {"TICKETSCOPE_HOME": str(self.folder / "home"), "TICKETSCOPE_CONFIG": os.devnull}
        self.port = free_port()
        self._up: subprocess.Popen[bytes] | None = None
        # The commands that have worked.
        self.done: set[str] = set()
        # What commands have printed that later ones need, by placeholder.
        self._learned: dict[str, str] = {}

    def close(self) -> None:
        """Stop the services, and remove the folder."""
        if self._up is not None:
            # A shell in the background makes its children ignore Ctrl-C.
            self._up.send_signal(signal.SIGTERM)
            try:
                self._up.wait(60)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait()
        self._temporary.cleanup()

    def run(self, command: str) -> tuple[int, str]:
        """Run a command in a shell with the environment active; return its exit status and output."""
        where = ROOT if command.startswith("make ") else self.work
        try:
            done = subprocess.run(
                ["bash", "-c", f". .venv/bin/activate\n{command}"],
                cwd=where,
                env=self.environment,
                # The answer to every question.
                input=b"yes\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return 124, f"{(error.output or b'').decode(errors='replace')}\nstopped after {SECONDS:g} s"
        output = done.stdout.decode(errors="replace")
        self._learn(output)
        if done.returncode == 0:
            self.done.add(command)
        return done.returncode, output

    def up(self) -> None:
        """Start everything, unless it runs, and wait for the dashboard."""
        if self._up is not None:
            return
        with (self.folder / "up.log").open("wb") as log:
            command = ["bash", "-c", f". .venv/bin/activate && exec ticketscope up --port {self.port} --workers 2"]
            self._up = subprocess.Popen(command, cwd=self.work, env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: healthy(self.port) or self._up is None or self._up.poll() is not None, 900)
        if self._up.poll() is not None:
            raise RuntimeError((self.folder / "up.log").read_text(errors="replace"))

    def filled(self, command: str) -> str:
        """Return a command with its placeholders filled in; what is optional is given."""
        command = re.sub(r" #.*", "", re.sub(r"\[(--[^\]]+)\]", r"\1", command)).rstrip()
        if "COMMAND" in command:
            names, each = " ".join(_commands()), command.replace("COMMAND", "$command")
            return f"for command in {names}; do {each} || exit 1; done"
        for placeholder, value in self._placeholders(
            deletes=bool(re.search(" (delete|restore-study) ", command))
        ).items():
            if re.search(placeholder, command):
                text = value()
                command = re.sub(placeholder, lambda _, text=text: text, command)
        return command

    def _placeholders(self, deletes: bool) -> dict[str, Callable[[], str]]:
        return {
            r"\bSTUDY_ID\b|\b3f2a\b": lambda: self._spare_id if deletes else self._study_id,
            r"\bLINK\b": lambda: shlex.quote(self._link()),
            r"(?<=--out )FILE\b": lambda: str(self.folder / "backup.duckdb"),
            r"\bFILE\b": lambda: self._learned["backup"],
            r"\bHOURS\b": lambda: "1",
            r"\bN\b": lambda: "1",
            r"/data/flowers\b": lambda: str(self._images),
            r"/var/www/ticket\b": lambda: str(self.folder / "www"),
        }

    def _link(self) -> str:
        """Return the link that was made last, or a new one after that was revoked."""
        if "link" not in self._learned:
            self.run(f"ticketscope share {self._study_id}")
        return self._learned["link"]

    def _learn(self, output: str) -> None:
        if "revoked link" in output:
            self._learned.pop("link", None)
        for name, form in (("link", r"(http\S+/shared\?\S+)"), ("backup", r"wrote (\S+\.duckdb)")):
            if found := re.search(form, output):
                self._learned[name] = found[1]

    @cached_property
    def _images(self) -> Path:
        return folder_of_images(self.folder / "flowers")

    @cached_property
    def _study_id(self) -> str:
        return self._launched(STUDY)

    @cached_property
    def _spare_id(self) -> str:
        return self._launched(SPARE)

    def _launched(self, name: str) -> str:
        """Train a small study to its end, and return its id."""
        self.up()
        file = self.folder / "study.toml"
        file.write_text(to_toml(tiny_study(name=name)), encoding="utf-8")
        status, output = self.run(f"ticketscope launch {file} --wait")
        found = re.search(r"launched .* as (\S+)", output)
        if status or found is None:
            raise RuntimeError(f"no study to use for the placeholders: {output}")
        return found[1]


def _commands() -> list[str]:
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    return list(commands.commands)
