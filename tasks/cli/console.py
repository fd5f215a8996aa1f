"""What several commands use: the consoles, common arguments, and the home, queue and artifact store at work."""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from data.settings import Settings, settings
from engine.errors import UserError

if TYPE_CHECKING:
    from redis import Redis

    from data.database.database import Database
    from tasks.services.presence import Running


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr)
    # Without a terminal, rich breaks sentences at 80 columns; in a log each is one line.
    console.soft_wrap = not console.is_terminal
    return console


out, err = _console(stderr=False), _console(stderr=True)

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


# The most other services that a warning names.
OTHERS_NAMED = 3

# Each part of where a command works, with the variable that says so.
_VARIABLES = {"home": "TICKETSCOPE_HOME", "queue": "REDIS_URL", "artifacts": "TICKETSCOPE_ARTIFACTS"}


class NothingHere(UserError):
    """Nothing was ever launched in the home that a command would read."""


def begin() -> Settings:
    """Return the settings, after a warning if Ticketscope runs on this host with another home, queue or store."""
    from tasks.services.presence import others

    config = settings()
    found = others(config)
    for other in found[:OTHERS_NAMED]:
        warn(_elsewhere(config, other))
    if len(found) > OTHERS_NAMED:
        warn(f"{len(found) - OTHERS_NAMED} more run on this host")
    return config


def _elsewhere(config: Settings, other: "Running") -> str:
    from tasks.services.presence import place

    mine = place(config)
    differing = [name for name in _VARIABLES if getattr(mine, name) != getattr(other.place, name)]
    theirs, ours = (", ".join(f"{name} {getattr(where, name)}" for name in differing) for where in (other.place, mine))
    variables = " and ".join(_VARIABLES[name] for name in differing)
    return (
        f"another Ticketscope runs on this host, with {theirs} ({other.command}, process {other.pid} of "
        f"{other.account}, since {other.since.astimezone():%Y-%m-%d %H:%M}); this command uses {ours}. To act on the "
        f"other one, give {variables} as it has, or its settings file in TICKETSCOPE_CONFIG"
    )


def warn(text: str) -> None:
    """Print a warning on stderr."""
    err.print(f"[bold yellow]warning:[/bold yellow] {escape(text)}", soft_wrap=True, highlight=False)


def say_place(config: Settings) -> None:
    """Print on stderr which home, queue and artifact store a command uses, without passwords."""
    from tasks.services.presence import place

    where = place(config)
    source = f" (settings: {config.config})" if config.config else ""
    text = f"home {where.home}, queue {where.queue}, artifacts {where.artifacts}{source}"
    err.print(f"[dim]{escape(text)}[/dim]", soft_wrap=True, highlight=False)


def say_line(console: Console, text: str) -> None:
    """Print a line of a log as it is, with the time; it is neither wrapped nor coloured, and flushed at once."""
    text = f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}"
    console.print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)


@contextmanager
def served(config: Settings) -> "Iterator[Redis]":
    """Make sure that Redis answers within the block, as `serving` does, and say where the command works."""
    from tasks.broker.server import serving

    with serving(config) as redis:
        say_place(config)
        yield redis


@contextmanager
def recorded() -> "Iterator[Database]":
    """Yield the database, after recording the events that wait in this home's own Redis, as far as that is possible.

    Raises NothingHere for a home without studies, rather than make one.
    """
    from data.database.database import Database, DatabaseError
    from tasks.broker.connection import BrokerError
    from tasks.broker.server import serving
    from tasks.services.recorder import drain_idle

    config = begin()
    own_queue = config.redis_url is None and (config.home / "redis").exists()
    if not (config.database.exists() or own_queue):
        raise NothingHere(
            f"nothing was ever launched in {config.home}: it has no database; do this where the recorder runs, or set "
            "TICKETSCOPE_HOME, or TICKETSCOPE_CONFIG to a settings file"
        )
    # The Redis that REDIS_URL names has a recorder of its own, perhaps on another host.
    with ExitStack() as stack:
        if config.redis_url is None:
            try:
                stack.enter_context(serving(config))
                drain_idle(config)
            except (BrokerError, DatabaseError) as error:
                # What is recorded can be read all the same, unless it cannot be either.
                warn(str(error))
        yield Database(config.database)
        say_place(config)
