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

# Seconds to wait for a server that does not answer.
PATIENCE = 30.0
# Bytes of the archives, for the progress bar only.
SIZES = {"cifar-10-python.tar.gz": 170_498_071, "cifar-100-python.tar.gz": 169_001_437}


def identity(archive_md5: str) -> str:
    """Return the identity of images whose archive has that checksum, which torchvision checks after download."""
    return hashlib.blake2b(f"torchvision archive {archive_md5}".encode(), digest_size=16).hexdigest()


def read_cifar10(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-10, downloaded into a folder where it is not there yet."""
    return _read("CIFAR10", folder, progress)


def read_cifar100(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-100 with its 100 fine classes, downloaded into a folder where it is not there yet."""
    return _read("CIFAR100", folder, progress)


def _read(name: str, folder: Path, progress: Progress) -> Dataset:
    """Return the dataset of a torchvision class; DatasetError where it is not there and cannot be downloaded."""
    # Imported late: only reading needs it.
    import torch

    from engine.models.torchvision_compat import torchvision

    source: Any = getattr(torchvision().datasets, name)
    archive = folder / source.filename
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _watched(archive, progress), _patient():
            train = source(folder, train=True, download=True)
    # torchvision raises RuntimeError for a wrong checksum; a cut archive raises one of the other two.
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
    """Report how far the archive has grown, which torchvision itself draws on the terminal only."""
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
def _patient() -> Iterator[None]:
    # torchvision sets no time limit of its own, and a network that swallows packets would be waited for without end.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
