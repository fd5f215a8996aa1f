"""What a dataset by name consists of, and the errors and progress that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.dataset import Shape
from engine.errors import UserError

# Called with what is being done, how much of it is done, and how much there is in all.
Progress = Callable[[str, int, int], None]


class DatasetError(UserError):
    """A dataset that is unknown, not there, or not what it should be."""


@dataclass(frozen=True)
class Source:
    """A dataset that has a name.

    identity: 32 hex digits that change whenever the images do. read: module:function, from the folder for downloads and
    a `Progress` to a `Dataset`, imported when the images are first read; may raise DatasetError. bundled: whether
    reading needs no network on any host. version: raised when the same files give other images; None where the code of
    read itself counts (see `engine.code`). DatasetError where read is nothing of that form.
    """

    title: str
    description: str
    identity: str
    shape: Shape
    read: str
    bundled: bool = False
    version: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.read, str) or not all(self.read.partition(":")):
            raise DatasetError(
                f"read of {self.title} is {self.read!r}; write module:function, such as data.datasets.cifar:read"
            )


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
