"""What several commands use: the consoles, common arguments, and the database with all events recorded."""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from data.settings import settings

if TYPE_CHECKING:
    from data.database.database import Database

out = Console()
err = Console(stderr=True)

StudyId = Annotated[
    str, typer.Argument(metavar="STUDY_ID", help="A study's id, or its beginning if no other begins so.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one GPU such as cuda:0 [TICKETSCOPE_DEVICE].")]


def write_to_any_terminal() -> None:
    """Let a terminal of any encoding show any text, with escapes for what it lacks; call it before anything is read.

    Python then also reads arguments and files as UTF-8, as do all processes that this one starts: a system whose
    language is not set (LC_ALL=C) would have it refuse every name that is not ASCII.
    """
    if not sys.flags.utf8_mode and codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.environ["PYTHONIOENCODING"] = f"{sys.stdout.encoding}:backslashreplace"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def recorded() -> "Iterator[Database]":
    """Yield the database, after recording the events that wait in this home's own Redis, as far as that is possible."""
    from data.database.database import Database, DatabaseError
    from tasks.broker.connection import BrokerError
    from tasks.broker.server import serving
    from tasks.services.recorder import drain_idle

    config = settings()
    # The Redis that REDIS_URL names has a recorder of its own, perhaps on another host.
    with ExitStack() as stack:
        if config.redis_url is None:
            try:
                stack.enter_context(serving(config))
                drain_idle(config)
            except (BrokerError, DatabaseError) as error:
                # What is recorded can be read all the same, unless it cannot be either.
                err.print(f"[yellow]warning:[/yellow] {escape(str(error))}", soft_wrap=True, highlight=False)
        yield Database(config.database)
