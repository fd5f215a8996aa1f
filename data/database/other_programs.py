"""Other programs that have the database's file open, such as notebooks: who they are, and how to read without it."""

import re
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from data.database.lock import Holder
from data.private import private_file

# DuckDB says this where another process has a file open in a way that excludes the wanted one.
_LOCKED = "Could not set lock on file"
_HELD = re.compile(r"is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

# The file beside the database that says how to read it.
README = "README.txt"

_README = """\
Ticketscope keeps its studies in {name}, in this folder.

Please do not leave that file open in another program. DuckDB lets either one program write to a file or several read
it, so a notebook or a DuckDB shell that has it open, even read-only, keeps Ticketscope from recording. Nothing is lost
by that: events wait in the queue, and pages show what they had, until that program closes the file or ends.

Four ways to read the numbers that hold nothing up:

1. Ticketscope's own package, which closes the file after each call:

       import ticketscope as ts
       accuracy = ts.study("STUDY_ID").accuracy()

2. The tables of a study, as Parquet files:

       ticketscope export STUDY_ID --out tables

       import pandas
       accuracy = pandas.read_parquet("tables/accuracy.parquet")

3. A copy of the whole database, made while everything runs:

       ticketscope backup --out copy.duckdb

       import duckdb
       copy = duckdb.connect("copy.duckdb", read_only=True)
       copy.sql("SELECT study_id, name, created_at FROM studies").df()

4. The file itself, for a moment. The block closes it; try again if it raises that the file is locked:

       with duckdb.connect("{name}", read_only=True) as database:
           studies = database.sql("SELECT study_id, name, created_at FROM studies").df()
"""


def holder(error: Exception) -> str | None:
    """Return in words which program keeps DuckDB from opening a file, as far as it can be known; None for other errors.

    error: as DuckDB raised it.
    """
    text = str(error)
    if _LOCKED not in text:
        return None
    named = _HELD.search(text)
    if named is None:
        return "another program, perhaps on another host"
    pid, program = int(named["pid"]), Path(named["program"]).name
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        since = datetime.fromtimestamp(process.create_time(), UTC)
        stopped = Holder(pid, socket.gethostname(), program, since, None).stopped()
        with suppress(psutil.Error):
            program = _called(process.cmdline()) or program
        return f"{program} (process {pid}, running since {since.astimezone():%H:%M:%S on %d %B}){stopped}"
    return f"{program} (process {pid})"


def _called(command: list[str]) -> str:
    """Return a command without its arguments, which may be secret; of Python, with its script or module."""
    program = Path(command[0]).name if command else ""
    if program.startswith("python"):
        match command[1:]:
            case ["-m", module, *_]:
                return f"{program} -m {module}"
            case [script, *_] if not script.startswith("-"):
                return f"{program} {Path(script).name}"
    return program


def explain_reading(database: Path) -> None:
    """Write beside a database how to read it, unless that is there or cannot be written."""
    path, text = database.with_name(README), _README.format(name=database.name)
    with suppress(OSError, UnicodeError):
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        # A file of that name that somebody else wrote stays.
        if present != text and (not present or present.startswith(_README.partition("{")[0])):
            path.write_text(text, encoding="utf-8")
            private_file(path)
