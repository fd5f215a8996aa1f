"""CIFAR-10 and CIFAR-100 with the addresses, checksums and reader of torchvision."""

import hashlib
import tarfile
from pathlib import Path
from typing import Any

from data.atomic import write_whole
from data.datasets.download import Archive, damage, fetch
from data.datasets.source import DatasetError, Progress
from data.os_errors import explained
from engine.dataset import Dataset

# The bytes of the archives.
SIZES = {"cifar-10-python.tar.gz": 170_498_071, "cifar-100-python.tar.gz": 169_001_437}


def identity(archive_md5: str) -> str:
    """Return the identity of the images in an archive with a checksum, which is compared before it is unpacked."""
    return hashlib.blake2b(f"torchvision archive {archive_md5}".encode(), digest_size=16).hexdigest()


def read_cifar10(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-10, downloaded into a folder unless it is there."""
    return _read("CIFAR10", folder, progress)


def read_cifar100(folder: Path, progress: Progress) -> Dataset:
    """Return CIFAR-100 with its 100 fine classes, downloaded into a folder unless it is there."""
    return _read("CIFAR100", folder, progress)


def _read(name: str, folder: Path, progress: Progress) -> Dataset:
    """Return the dataset of a torchvision class; DatasetError if it is missing or damaged and cannot be downloaded."""
    # PyTorch is imported late, because only reading needs it.
    import torch

    from engine.models.torchvision_compat import torchvision

    source: Any = getattr(torchvision().datasets, name)
    _prepare(source, folder, progress)
    train, test = source(folder, train=True), source(folder, train=False)
    return Dataset(
        train_images=torch.from_numpy(train.data).contiguous(),
        train_labels=torch.tensor(train.targets, dtype=torch.int64),
        test_images=torch.from_numpy(test.data).contiguous(),
        test_labels=torch.tensor(test.targets, dtype=torch.int64),
        classes=tuple(train.classes),
    )


def _prepare(source: Any, folder: Path, progress: Progress) -> None:
    """Put the files of a torchvision class into a folder, unless all are there intact."""
    base, archive = folder / source.base_folder, folder / source.filename
    meta = (source.meta["filename"], source.meta["md5"])
    files = dict([*source.train_list, *source.test_list, meta])
    faults = _faults(base, files)
    if faults is None:
        return
    try:
        fetch(Archive(source.url, source.tgz_md5, SIZES[source.filename]), archive, progress)
    except DatasetError as error:
        if not base.exists():
            raise
        raise DatasetError(f"{faults}; unpacking it anew from {archive} fails: {error}") from error
    try:
        _unpack(archive, base, set(files))
    except OSError as error:
        raise DatasetError(f"cannot unpack {archive}: {explained(error, base)}") from error
    if faults := _faults(base, files):
        raise DatasetError(f"{faults}, although it was just unpacked from {archive}; is the disk faulty?")


def _faults(base: Path, files: dict[str, str]) -> str | None:
    """Return which files of a folder are missing or damaged, None if all are intact; files: their MD5 by name."""
    faults = []
    for name, md5 in files.items():
        what = damage(base / name, md5) if (base / name).exists() else "is missing"
        if what is not None:
            faults.append(f"{name} {what}")
    return f"{base} is damaged: {', '.join(faults)}" if faults else None


def _unpack(archive: Path, base: Path, names: set[str]) -> None:
    """Write the files with some names from an archive to a folder, each whole or not at all."""
    with tarfile.open(archive, "r|gz") as content:
        for entry in content:
            folder, _, name = entry.name.rpartition("/")
            data = content.extractfile(entry) if folder == base.name and name in names else None
            if data is not None:
                write_whole(base / name, data.read())
