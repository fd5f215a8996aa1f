"""Labelled images in memory, ready for training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set.

    Images are uint8 of shape (count, height, width, channels), height = width; channels come last because batches are
    then cut out fastest. Labels are int64 of shape (count,), in 0 .. classes - 1.
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
    """The channels, size in pixels and classes of a dataset's images, and the numbers of training and test images."""

    channels: int
    image_size: int
    classes: int
    train: int
    test: int
