"""What several commands use: the consoles, common arguments, and the database with all events recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from data.settings import settings

if TYPE_CHECKING:
    from data.database.database import Database

out = Console()
err = Console(stderr=True)

StudyId = Annotated[
    str, typer.Argument(metavar="STUDY_ID", help="A study's id, or its beginning if no other begins so.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or one GPU such as cuda:0 [TICKETSCOPE_DEVICE].")]


@contextmanager
def recorded() -> "Iterator[Database]":
    """Yield the database, after recording the events that wait in this home's own Redis."""
    from data.database.database import Database
    from tasks.broker.server import serving
    from tasks.services.recorder import drain_idle

    config = settings()
    # The Redis that REDIS_URL names has a recorder of its own, perhaps on another host.
    if config.redis_url is None:
        with serving(config):
            drain_idle(config)
            yield Database(config.database)
    else:
        yield Database(config.database)
