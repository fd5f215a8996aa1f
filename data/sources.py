"""What a dataset by name consists of, and the errors and progress that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.cost import Shape
from engine.dataset import Dataset

# Called with what is being done, how much of it is done, and how much there is in all.
Progress = Callable[[str, int, int], None]


class DatasetError(ValueError):
    """A dataset that is unknown, not there, or not what it should be."""


@dataclass(frozen=True)
class Source:
    """A dataset that has a name.

    identity: 32 hex digits that change whenever the images do. read: from the folder for downloads to the images; may
    raise DatasetError. bundled: whether reading needs no network on any host.
    """

    title: str
    description: str
    identity: str
    shape: Shape
    read: Callable[[Path, Progress], Dataset]
    bundled: bool = False


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
