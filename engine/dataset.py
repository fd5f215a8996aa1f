"""Labelled images in memory, as training takes them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set.

    Images are uint8 of shape (count, height, width, channels), height = width; labels int64 of shape (count,) in
    0 .. classes - 1. Channels last, since that is how a batch is cut out fastest.
    """

    train_images: "Tensor"
    train_labels: "Tensor"
    test_images: "Tensor"
    test_labels: "Tensor"
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        return int(self.train_images.shape[3])

    @property
    def image_size(self) -> int:
        return int(self.train_images.shape[1])


@dataclass(frozen=True)
class Shape:
    """What a dataset's images look like and how many there are."""

    channels: int
    image_size: int
    classes: int
    train: int
    test: int
