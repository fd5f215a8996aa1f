"""SVHN, Fashion-MNIST and Tiny ImageNet, read from the files that their authors publish."""

import gzip
import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image

from data.datasets.download import Archive, fetch
from data.datasets.folder import CHUNK, THREADS
from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset

# The addresses and checksums of torchvision, by the split or part that a file holds.
SVHN = {
    split: Archive(f"http://ufldl.stanford.edu/housenumbers/{split}_32x32.mat", md5, size, "matlab")
    for split, md5, size in (
        ("train", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
        ("test", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
    )
}
FASHION_MNIST = {
    part: Archive(f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{part}-ubyte.gz", md5, size)
    for part, md5, size in (
        ("train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        ("train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
        ("t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        ("t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    )
}
TINY_IMAGENET = {
    "all": Archive(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", 248_100_043, "zip"
    )
}
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
Array = np.ndarray[Any, np.dtype[Any]]


def identity(files: Iterable[Archive]) -> str:
    """Return the identity of the images in files, whose checksums are compared before they are read."""
    named = " ".join(["published files", *(file.md5 for file in files)])
    return hashlib.blake2b(named.encode(), digest_size=16).hexdigest()


def read_svhn(folder: Path, progress: Progress) -> Dataset:
    """Return SVHN, the cropped digits without the extra set, downloaded into a folder unless it is there."""
    # It takes a second to import, and the images are read only once.
    from scipy.io import loadmat

    parts: list[tuple[Array, Array]] = []
    for split, file in SVHN.items():
        path = _fetched(file, folder / "svhn", progress)
        progress(f"reading {path.name}", len(parts), len(SVHN))
        try:
            content = loadmat(path, variable_names=["X", "y"])
            # The file has the images last, and calls the digit 0 ten.
            parts.append((content["X"].transpose(3, 0, 1, 2), content["y"].ravel() % 10))
        except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise DatasetError(f"{path} cannot be read as the {split} set of SVHN: {error}") from error
    return _dataset(parts, tuple("0123456789"))


def read_fashion_mnist(folder: Path, progress: Progress) -> Dataset:
    """Return Fashion-MNIST, downloaded into a folder unless it is there."""
    arrays: list[Array] = []
    for part, file in FASHION_MNIST.items():
        path = _fetched(file, folder / "fashion_mnist", progress)
        progress(f"reading {path.name}", len(arrays), len(FASHION_MNIST))
        try:
            with gzip.open(path) as content:
                arrays.append(_idx(content.read(), 3 if "images" in part else 1))
        except (OSError, EOFError, ValueError) as error:
            raise DatasetError(f"{path} cannot be read as {part} of Fashion-MNIST: {error}") from error
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    return _dataset([(images[..., None], labels) for images, labels in pairs], CLOTHES)


def read_tiny_imagenet(folder: Path, progress: Progress) -> Dataset:
    """Return Tiny ImageNet with its validation images to test on, downloaded into a folder unless it is there.

    The images are read from the archive, which stays packed. Classes are WordNet's numbers, such as n01443537.
    """
    [file] = TINY_IMAGENET.values()
    path = _fetched(file, folder, progress)
    try:
        with ZipFile(path) as archive:
            return _tiny_imagenet(archive, path, progress)
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise DatasetError(f"{path} cannot be read as Tiny ImageNet: {error}") from error


def _tiny_imagenet(archive: ZipFile, path: Path, progress: Progress) -> Dataset:
    base = path.stem
    classes = tuple(sorted(archive.read(f"{base}/wnids.txt").decode().split()))
    number = {name: i for i, name in enumerate(classes)}
    rows = (line.split("\t") for line in archive.read(f"{base}/val/val_annotations.txt").decode().splitlines())
    annotated = {f"{base}/val/images/{row[0]}": number[row[1]] for row in rows}
    names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
    train = [name for name in names if name.startswith(f"{base}/train/")]
    splits = ((train, [number[name.split("/")[2]] for name in train]), (list(annotated), list(annotated.values())))
    total, done = sum(len(listed) for listed, _ in splits), 0
    parts: list[tuple[Array, Array]] = []
    for listed, labels in splits:
        pixels = np.empty((len(listed), 64, 64, 3), dtype=np.uint8)

        def fill(begin: int, listed: list[str] = listed, pixels: Array = pixels) -> int:
            some = listed[begin : begin + CHUNK]
            for i, name in enumerate(some, start=begin):
                with archive.open(name) as content, Image.open(content, formats=("JPEG",)) as image:
                    pixels[i] = np.asarray(image.convert("RGB"))
            return len(some)

        with ThreadPoolExecutor(THREADS) as pool:
            for count in pool.map(fill, range(0, len(listed), CHUNK)):
                done += count
                progress(f"reading {path.name}", done, total)
        parts.append((pixels, np.array(labels)))
    return _dataset(parts, classes)


def _fetched(file: Archive, folder: Path, progress: Progress) -> Path:
    path = folder / file.url.rpartition("/")[2]
    fetch(file, path, progress)
    return path


def _idx(content: bytes, dimensions: int) -> Array:
    """Return the bytes of an IDX file as an array; ValueError for another format."""
    if content[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f"its first bytes are {content[:4].hex(' ')}, which is no IDX file of {dimensions} dimensions")
    sizes = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(sizes)


def _dataset(parts: list[tuple[Array, Array]], classes: tuple[str, ...]) -> Dataset:
    """Return the dataset of pixels and labels to train and to test on."""
    # PyTorch is imported late, because only reading needs it.
    import torch

    (train, train_labels), (test, test_labels) = (
        (torch.from_numpy(np.array(pixels, np.uint8, order="C")), torch.from_numpy(np.array(labels, np.int64)))
        for pixels, labels in parts
    )
    return Dataset(train, train_labels, test, test_labels, classes)
