"""CIFAR-10 and CIFAR-100 through torchvision's own download, checksums and reader."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset

# A download fails if the server does not answer for this time.
TIMEOUT_SECONDS = 30.0
# The progress bar needs the bytes of the archives.
SIZES = {"cifar-10-python.tar.gz": 170_498_071, "cifar-100-python.tar.gz": 169_001_437}


def identity(archive_md5: str) -> str:
    """Return the identity of the images in an archive with a checksum, which torchvision checks after the download."""
    return hashlib.blake2b(f"torchvision archive {archive_md5}".encode(), digest_size=16).hexdigest()


def read_cifar10(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-10, downloaded into a folder unless it is there."""
    return _read("CIFAR10", folder, progress)


def read_cifar100(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-100 with its 100 fine classes, downloaded into a folder unless it is there."""
    return _read("CIFAR100", folder, progress)


def _read(name: str, folder: Path, progress: Progress) -> Dataset:
    """Return the dataset of a torchvision class; DatasetError if it cannot be downloaded."""
    # PyTorch is imported late, because only reading needs it.
    import torch

    from engine.models.torchvision_compat import torchvision

    source: Any = getattr(torchvision().datasets, name)
    archive = folder / source.filename
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _watched(archive, progress), _time_limit():
            train = source(folder, train=True, download=True)
    # torchvision raises RuntimeError for a wrong checksum; an incomplete archive raises one of the other two.
    except (OSError, RuntimeError, EOFError) as error:
        raise DatasetError(
            f"cannot download {source.url}: {error}; get {source.filename} (md5 {source.tgz_md5}) on a machine "
            f"with network access and put it at {archive}"
        ) from error
    test = source(folder, train=False)
    return Dataset(
        train_images=torch.from_numpy(train.data).contiguous(),
        train_labels=torch.tensor(train.targets, dtype=torch.int64),
        test_images=torch.from_numpy(test.data).contiguous(),
        test_labels=torch.tensor(test.targets, dtype=torch.int64),
        classes=tuple(train.classes),
    )


@contextmanager
def _watched(archive: Path, progress: Progress) -> Iterator[None]:
    """Report the size of the archive while it is downloaded; torchvision only shows it in the terminal."""
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(0.5):
            if archive.exists():
                size = archive.stat().st_size
                progress(f"downloading {archive.name}", size, max(size, SIZES.get(archive.name, 0)))

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _time_limit() -> Iterator[None]:
    # torchvision sets no time limit, and would wait forever for a network that drops packets.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
