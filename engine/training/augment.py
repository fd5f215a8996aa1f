"""Images on the device, and the batches cut from them: crop, flip and normalisation for a whole batch at once."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.dataset import Dataset
from engine.seeds import stream
from engine.study.recipe import PADDING

# A forward pass of the evaluation has this many images on a CPU, where ResNet-20 gains nothing from 1,000 or 2,000. On
# a GPU it has this many values, those of 2,000 images of CIFAR: few launches, each of which fills the device. The
# layers of VGG-11 take 1 GB for them.
CPU_EVALUATION = 500
GPU_EVALUATION_VALUES = 2_000 * 32 * 32 * 3


@dataclass(frozen=True)
class DeviceData:
    """A dataset ready for training on one device.

    train: uint8 (count, height, width, channels), padded if batches are cropped. test: normalised float
    (count, channels, height, width), in channels-last memory. scale, shift: float (channels,); they give uint8 images
    zero mean and unit variance over the training set. classes: the number of classes.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    scale: Tensor
    shift: Tensor
    classes: int
    crop: bool
    flip: bool

    @property
    def device(self) -> torch.device:
        return self.train.device

    @functools.cached_property
    def flat_test(self) -> Tensor:
        """The test images as (count, values), so that networks which flatten them need not do so in each evaluation."""
        return self.test.flatten(1)

    def test_for(self, network: nn.Module) -> Tensor:
        """The test images as a network takes them."""
        first = network[0] if isinstance(network, nn.Sequential) else None
        flattens = isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) == (1, -1)
        return self.flat_test if flattens else self.test

    @property
    def evaluation_batch(self) -> int:
        """The test images in a forward pass of the evaluation."""
        if self.device.type == "cpu":
            return CPU_EVALUATION
        # Large images need more memory each.
        return max(CPU_EVALUATION, GPU_EVALUATION_VALUES // self.test[0].numel())


@functools.lru_cache(maxsize=2)
def to_device(dataset: Dataset, augmentation: str, device: torch.device) -> DeviceData:
    """Return a dataset on a device; augmentation: as in `engine.study.recipe.Recipe`."""
    crop, flip = augmentation in ("crop_flip", "crop"), augmentation in ("crop_flip", "flip")
    scale, shift = _normalisation(dataset.train_images)
    train = dataset.train_images
    if crop:
        # With borders added once here, every crop is a plain window.
        train = torch.nn.functional.pad(train, (0, 0, PADDING, PADDING, PADDING, PADDING))
    scale, shift = scale.to(device), shift.to(device)
    return DeviceData(
        train=train.to(device),
        train_labels=dataset.train_labels.to(device),
        test=_normalise(dataset.test_images.to(device), scale, shift),
        test_labels=dataset.test_labels.to(device),
        scale=scale,
        shift=shift,
        classes=len(dataset.classes),
        crop=crop,
        flip=flip,
    )


class Feed:
    """The batches of one training, cut on the device.

    An epoch's order, crops and flips are drawn on the CPU, before it begins where the device still works on the epoch
    before, and copied to the device once. The position in them is counted on the device too, so that a step copies
    nothing from the CPU and consists of the same kernels over the same memory, which a CUDA graph can replay. After the
    last batch the first comes again, for measurements of speed. sizes: images in each batch of an epoch; the last may
    be smaller, but a single remaining image is left out, because batch
    norm cannot normalise it.
    """

    def __init__(self, data: DeviceData, batch_size: int) -> None:
        count, padded = data.train.shape[:2]
        whole, rest = divmod(count, batch_size)
        self.sizes = (batch_size,) * whole + ((rest,) if rest > bool(whole) else ())
        self.data = data
        # The next batch begins at this place in the epoch's order.
        self.begin = torch.zeros((), dtype=torch.int64, device=data.device)
        self._order = torch.zeros(count, dtype=torch.int64, device=data.device)
        self._corner = torch.zeros(count, 2, dtype=torch.int64, device=data.device)
        self._flipped = torch.zeros(count, dtype=torch.bool, device=data.device)
        # From pinned memory a GPU copies by itself; `copied` marks the end of that, until when it must not change.
        pinned = data.device.type == "cuda"
        self._drawn_order, self._drawn_corner, self._drawn_flipped = (
            torch.empty(target.shape, dtype=target.dtype, pin_memory=pinned)
            for target in (self._order, self._corner, self._flipped)
        )
        self._drawn: tuple[int, str, int] | None = None
        self._copied = torch.cuda.Event() if pinned else None
        self._places = torch.arange(max(self.sizes), device=data.device)
        self._window = torch.arange(padded - 2 * PADDING if data.crop else padded, device=data.device)
        self._mirrored = self._window.flip(0)

    def draw(self, seed: int, purpose: str, epoch: int) -> None:
        """Begin an epoch, whose order, crops and flips depend only on seed, purpose and epoch."""
        self.draw_ahead(seed, purpose, epoch)
        self._order.copy_(self._drawn_order, non_blocking=True)
        if self.data.crop:
            self._corner.copy_(self._drawn_corner, non_blocking=True)
        if self.data.flip:
            self._flipped.copy_(self._drawn_flipped, non_blocking=True)
        if self._copied is not None:
            self._copied.record()
        self.begin.zero_()

    def draw_ahead(self, seed: int, purpose: str, epoch: int) -> None:
        """Draw an epoch that `draw` will begin, while the device works; of another epoch, `draw` draws anew."""
        if self._drawn == (seed, purpose, epoch):
            return
        if self._copied is not None:
            self._copied.synchronize()
        # An interruption must not leave half of an epoch under a name.
        self._drawn = None
        draws = stream(seed, purpose, epoch)
        count = len(self._order)
        torch.randperm(count, generator=draws, out=self._drawn_order)
        if self.data.crop:
            torch.randint(0, 2 * PADDING + 1, (count, 2), generator=draws, out=self._drawn_corner)
        if self.data.flip:
            self._drawn_flipped.copy_(torch.rand(count, generator=draws) < 0.5)
        self._drawn = (seed, purpose, epoch)

    def next(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return float images (size, channels, height, width), their labels, and their places in the epoch's order."""
        places = (self.begin + self._places[:size]) % sum(self.sizes)
        self.begin += size
        chosen = self._order[places]
        if self.data.crop or self.data.flip:
            corner = self._corner[places]
            rows = self._window + corner[:, :1]
            columns = torch.where(self._flipped[places][:, None], self._mirrored, self._window) + corner[:, 1:]
            images = self.data.train[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        else:
            images = self.data.train[chosen]
        return _normalise(images, self.data.scale, self.data.shift), self.data.train_labels[chosen], places

    @property
    def labels(self) -> Tensor:
        """The labels of the epoch's images, in its order."""
        return self.data.train_labels[self._order[: sum(self.sizes)]]


def _normalisation(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift (channels,) of uint8 images, from the histogram of each channel, in double precision."""
    levels = torch.arange(256, dtype=torch.float64)
    histograms = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(3)])
    share = histograms.double() / histograms.sum(1, keepdim=True)
    mean = share @ levels
    deviation = torch.sqrt((share * (levels - mean[:, None]) ** 2).sum(1)).clamp(min=1.0)
    return (1 / deviation).float(), (-mean / deviation).float()


def _normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return images.float().mul_(scale).add_(shift).permute(0, 3, 1, 2)
