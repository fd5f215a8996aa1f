from dataclasses import replace

import pytest
import torch

from engine.dataset import Dataset
from engine.training.augment import CPU_EVALUATION, PADDING, Feed, to_device
from tests.engine.conftest import batches

CPU = torch.device("cpu")
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def numbered(count: int = 10, size: int = 8) -> Dataset:
    """Return images whose two channels hold the number of the pixel and the number of the image."""
    pixel = torch.arange(1, size * size + 1).view(1, size, size).expand(count, size, size)
    image = torch.arange(1, count + 1).view(count, 1, 1).expand(count, size, size)
    images = torch.stack([pixel, image], dim=3).to(torch.uint8)
    labels = torch.arange(count)
    return Dataset(images, labels, images, labels, tuple(map(str, range(count))))


def pixels(batch: torch.Tensor, data) -> torch.Tensor:
    """Return the pixels of a batch before normalisation."""
    return ((batch.permute(0, 2, 3, 1) - data.shift) / data.scale).round().long()


def test_without_augmentation_an_epoch_holds_every_image_once() -> None:
    dataset = numbered()
    data = to_device(dataset, "none", CPU)
    seen = []
    for images, labels in batches(data, 4, 0, "pretrain", 0):
        assert torch.equal(pixels(images, data), dataset.train_images[labels].long())
        seen += labels.tolist()
    assert sorted(seen) == list(range(10))


def test_training_images_have_zero_mean_and_unit_variance() -> None:
    draws = torch.randint(0, 255, (200, 8, 8, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels = torch.zeros(200, dtype=torch.int64)
    data = to_device(Dataset(draws, labels, draws, labels, ("only",)), "none", CPU)
    assert torch.allclose(data.test.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(data.test.std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_a_crop_is_a_window_of_the_padded_image_and_all_windows_occur() -> None:
    dataset = numbered(count=200)
    data = to_device(dataset, "crop", CPU)
    corners = set()
    for images, labels in batches(data, 64, 0, "pretrain", 0):
        for window, label in zip(pixels(images, data), labels.tolist(), strict=True):
            padded = data.train[label].long()
            matches = [
                (r, c)
                for r in range(2 * PADDING + 1)
                for c in range(2 * PADDING + 1)
                if torch.equal(padded[r : r + 8, c : c + 8], window)
            ]
            assert matches
            corners.update(matches)
    assert len(corners) > 60


def test_about_half_of_the_images_are_mirrored() -> None:
    dataset = numbered(count=200)
    data = to_device(dataset, "flip", CPU)
    mirrored = 0
    for images, labels in batches(data, 64, 0, "pretrain", 0):
        for image, label in zip(pixels(images, data), labels.tolist(), strict=True):
            original = dataset.train_images[label].long()
            assert torch.equal(image, original) or torch.equal(image, original.flip(1))
            mirrored += int(torch.equal(image, original.flip(1)))
    assert 60 < mirrored < 140


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_order_depends_on_seed_purpose_and_epoch_only(augmentation: str) -> None:
    data = to_device(numbered(), augmentation, CPU)

    def epoch(*stream) -> torch.Tensor:
        return torch.cat([images for images, _ in batches(data, 4, *stream)])

    images_of_epoch = epoch(0, "retrain", 5)
    assert torch.equal(images_of_epoch, epoch(0, "retrain", 5))
    for other in ((1, "retrain", 5), (0, "pretrain", 5), (0, "retrain", 6)):
        assert not torch.equal(images_of_epoch, epoch(*other))


def test_a_last_batch_of_one_image_is_left_out() -> None:
    data = to_device(numbered(count=9), "none", CPU)
    assert [len(labels) for _, labels in batches(data, 4, 0, "pretrain", 0)] == [4, 4]


def test_batches_of_one_image_hold_every_image() -> None:
    data = to_device(numbered(count=9), "none", CPU)
    assert [len(labels) for _, labels in batches(data, 1, 0, "pretrain", 0)] == [1] * 9


def test_images_are_channels_last_in_memory() -> None:
    data = to_device(numbered(), "crop_flip", CPU)
    images, _ = batches(data, 4, 0, "pretrain", 0)[0]
    assert images.is_contiguous(memory_format=torch.channels_last)


def begun(feed: Feed, epoch: int) -> list[torch.Tensor]:
    """Return the order, corners and flips of an epoch that a feed begins."""
    feed.draw(3, "retrain", epoch)
    return [tensor.clone() for tensor in (feed._order, feed._corner, feed._flipped)]


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=gpu)])
def test_an_epoch_drawn_ahead_is_the_one_drawn_at_its_begin(device: torch.device) -> None:
    data = to_device(numbered(64), "crop_flip", device)
    plain = [begun(Feed(data, 8), epoch) for epoch in range(3)]
    feed = Feed(data, 8)
    first = begun(feed, 0)
    feed.draw_ahead(3, "retrain", 1)
    # The epoch in progress keeps its own.
    assert all(map(torch.equal, first, (feed._order, feed._corner, feed._flipped)))
    second = begun(feed, 1)
    # A training that was stopped and resumed begins another epoch than the one drawn ahead.
    feed.draw_ahead(3, "retrain", 0)
    third = begun(feed, 2)
    for drawn, expected in zip((first, second, third), plain, strict=True):
        assert all(map(torch.equal, drawn, expected))


def test_a_gpu_evaluates_more_images_at_once_than_a_cpu_and_fewer_large_ones() -> None:
    def batch(size: int, device: str) -> int:
        data = to_device(numbered(), "none", CPU)
        images = torch.empty(10, 3, size, size, device="meta")
        return replace(data, test=images, train=data.train if device == "cpu" else images).evaluation_batch

    assert [batch(size, "cpu") for size in (8, 32, 64)] == [CPU_EVALUATION] * 3
    assert batch(32, "gpu") == 2_000
    assert batch(8, "gpu") > batch(32, "gpu") > batch(64, "gpu") == batch(224, "gpu") == CPU_EVALUATION
