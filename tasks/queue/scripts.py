"""The Lua scripts that change the queue, each of which Redis runs as a whole or not at all."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.commands.core import Script

PREFIX = "ticketscope:"


def run(redis: Redis, name: str, *arguments: str | float) -> Any:
    """Run a script of `lua/` and return its answer."""
    return Script(redis, _source(name))(keys=[PREFIX], args=list(arguments))


@lru_cache
def _source(name: str) -> str:
    folder = Path(__file__).with_name("lua")
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("transition", name))
