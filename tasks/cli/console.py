"""What the commands share: where they print, how a study is named, and the store brought up to date first."""

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

StudyId = Annotated[str, typer.Argument(metavar="STUDY_ID", help="A study's id, or as much of it as tells it apart.")]


@contextmanager
def recorded() -> "Iterator[Database]":
    """Yield the store, with what waits in a Redis of this machine recorded first."""
    from data.database.database import Database
    from tasks.broker.server import serving
    from tasks.services.recorder import drain_idle

    config = settings()
    # The events of a given Redis belong to the recorder beside it, which may run on another host.
    if config.redis_url is None:
        with serving(config):
            drain_idle(config)
            yield Database(config.database)
    else:
        yield Database(config.database)
