"""Clocks of single processes that a test sets ahead or back, by a small library that is preloaded into each."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clocks:
    """The clocks of all processes that are started while this is installed; `reason` says why there are none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clocks"
        self._library = folder / "clock.so"
        self.reason = self._built()

    def _built(self) -> str:
        compiler = shutil.which("cc")
        if compiler is None:
            return "no C compiler (cc) on this machine"
        self._folder.mkdir(parents=True)
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr.strip()

    def environment(self) -> dict[str, str]:
        """Return the variables with which processes, and their children, get clocks that can be set."""
        return {"LD_PRELOAD": str(self._library), "CLOCKS": str(self._folder)}

    def install(self) -> None:
        """Give all processes that this one starts from now on such clocks."""
        os.environ.update(self.environment())

    def remove(self) -> None:
        """Give later processes the clock of the machine."""
        for name in self.environment():
            os.environ.pop(name, None)

    def set(self, pid: int, seconds: int) -> None:
        """Set the clock of a process so many seconds ahead of the machine's, or back if negative."""
        with (self._folder / str(pid)).open("r+b") as file:
            file.write(struct.pack("l", seconds))
