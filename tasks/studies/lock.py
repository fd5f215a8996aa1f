"""The lock that separates commands that rely on saved results from commands that remove them."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from data.settings import Settings


@contextmanager
def study_lock(config: Settings) -> Iterator[None]:
    """Hold this home's lock within the block, so that one process at a time launches, retries, deletes or rebuilds."""
    config.home.mkdir(parents=True, exist_ok=True)
    with FileLock(config.home / "launching.lock"):
        yield
