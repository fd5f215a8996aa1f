"""Images on the device, and batches cut out of them: crop, flip and normalisation for a whole batch at once."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.seeds import stream

PADDING = 4


@dataclass(frozen=True)
class DeviceData:
    """A dataset ready for training on one device.

    train: uint8 (count, height, width, channels), padded where it will be cropped. test: normalised float
    (count, channels, height, width), in channels-last memory. scale, shift: float (channels,), which turn uint8 into
    zero mean and unit variance over the training set.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    scale: Tensor
    shift: Tensor
    crop: bool
    flip: bool

    @property
    def device(self) -> torch.device:
        return self.train.device


@functools.lru_cache(maxsize=2)
def to_device(dataset: Dataset, augmentation: str, device: torch.device) -> DeviceData:
    """Move a dataset to a device, or return it where it is; augmentation is that of `engine.spec.Recipe`."""
    crop, flip = augmentation in ("crop_flip", "crop"), augmentation in ("crop_flip", "flip")
    scale, shift = _normalisation(dataset.train_images)
    train = dataset.train_images
    if crop:
        # Black borders are added once, here, and every crop is then a plain window.
        train = torch.nn.functional.pad(train, (0, 0, PADDING, PADDING, PADDING, PADDING))
    scale, shift = scale.to(device), shift.to(device)
    return DeviceData(
        train=train.to(device),
        train_labels=dataset.train_labels.to(device),
        test=_normalise(dataset.test_images.to(device), scale, shift),
        test_labels=dataset.test_labels.to(device),
        scale=scale,
        shift=shift,
        crop=crop,
        flip=flip,
    )


def batches(data: DeviceData, batch_size: int, seed: int, purpose: str, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch's batches: float images (batch, channels, height, width) and their labels.

    Order, crops and flips depend on seed, purpose and epoch only. The last batch may be smaller, but one image that is
    left over is left out, since batch norm cannot take it.
    """
    count, padded = data.train.shape[:2]
    draws = stream(seed, purpose, epoch)
    order = torch.randperm(count, generator=draws).to(data.device)
    size = padded - 2 * PADDING if data.crop else padded
    corner = torch.zeros(count, 2, dtype=torch.int64)
    if data.crop:
        corner = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=draws)
    flipped = torch.zeros(count, dtype=torch.bool)
    if data.flip:
        flipped = torch.rand(count, generator=draws) < 0.5
    window = torch.arange(size)
    columns = torch.where(flipped[:, None], window.flip(0), window) + corner[:, 1:]
    rows, columns = (window + corner[:, :1]).to(data.device), columns.to(data.device)
    plain = not (data.crop or data.flip)
    for begin in range(0, count, batch_size):
        chosen = order[begin : begin + batch_size]
        if len(chosen) == 1 < min(batch_size, count):
            return
        if plain:
            images = data.train[chosen]
        else:
            part = slice(begin, begin + batch_size)
            images = data.train[chosen[:, None, None], rows[part, :, None], columns[part, None, :]]
        yield _normalise(images, data.scale, data.shift), data.train_labels[chosen]


def _normalisation(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift (channels,) for uint8 images, from the histogram of each channel, in double precision."""
    levels = torch.arange(256, dtype=torch.float64)
    histograms = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(3)])
    share = histograms.double() / histograms.sum(1, keepdim=True)
    mean = share @ levels
    deviation = torch.sqrt((share * (levels - mean[:, None]) ** 2).sum(1)).clamp(min=1.0)
    return (1 / deviation).float(), (-mean / deviation).float()


def _normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return images.float().mul_(scale).add_(shift).permute(0, 3, 1, 2)
