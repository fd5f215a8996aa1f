"""The type of a dataset's entry by name, and the error and progress that all datasets share."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.dataset import Shape
from engine.entries import Code
from engine.errors import UserError

# This is called with a text, the amount that is done, and the whole amount.
Progress = Callable[[str, int, int], None]


class DatasetError(UserError):
    """A dataset is unknown, missing or faulty; lasting: reading the same images again, here or elsewhere, fails too."""

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True)
class Source:
    """A dataset that has a name.

    identity: 32 hex digits that change whenever the images do. read: a function, or module:function, from the folder
    for downloads and a `Progress` to a `Dataset`; may raise DatasetError. bundled: reading needs no network on any
    host. version: raised when the same files give other images; None where a hash of read's code counts instead (see
    `engine.code`). DatasetError if read has another form.
    """

    title: str
    description: str
    identity: str
    shape: Shape
    read: Code = Code()  # noqa: RUF009
    bundled: bool = False
    version: int | None = None

    def __post_init__(self) -> None:
        if not all(self.read.partition(":")):
            raise DatasetError(
                f"read of {self.title} is {self.read!r}; write module:function, such as data.datasets.cifar:read"
            )


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
