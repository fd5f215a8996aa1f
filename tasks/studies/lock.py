"""The lock that separates commands that rely on saved results from commands that remove them."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from data.private import private_folder
from data.settings import Settings


@contextmanager
def study_lock(config: Settings) -> Iterator[None]:
    """Hold this home's lock within the block, so that one process at a time launches, retries, deletes or rebuilds."""
    private_folder(config.home)
    with FileLock(config.home / "launching.lock"):
        yield
