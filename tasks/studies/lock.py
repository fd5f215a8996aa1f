"""Taking turns: what relies on kept results, and what removes them, exclude each other."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from data.settings import Settings


@contextmanager
def turn(config: Settings) -> Iterator[None]:
    """Wait until nobody else of this home launches, retries, deletes, reclaims or rebuilds, and keep them waiting."""
    config.home.mkdir(parents=True, exist_ok=True)
    with FileLock(config.home / "launching.lock"):
        yield
