"""Images in folders: train/<class>/ and test/<class>/, as torchvision's ImageFolder lays them out."""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from data.artifacts import write_whole
from data.sources import DatasetError, Progress
from engine.cost import Shape
from engine.dataset import Dataset

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
GREY = ("1", "L", "LA")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
SPLITS = ("train", "test")
LAYOUT = "a dataset is a folder with train/<class>/ and test/<class>/, the same classes in both, and images in each"
THREADS = min(4, os.cpu_count() or 1)
CHUNK = 500


@dataclass(frozen=True)
class Listing:
    """The images of a folder, in sorted order; names are relative with /, and begin train/<class>/ or test/<class>/."""

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    digest: str

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The number of each image's class."""
        number = {name: i for i, name in enumerate(self.classes)}
        return tuple(number[name.split("/", 2)[1]] for name in self.names)

    def count(self, split: str) -> int:
        """Return how many images a split has."""
        return sum(name.startswith(f"{split}/") for name in self.names)


def listing(root: Path) -> Listing:
    """List a dataset's folder; its digest covers names, sizes and times. DatasetError where the layout is another."""
    if not root.is_dir():
        raise DatasetError(f"no folder at {root}; {LAYOUT}")
    classes = {split: _classes(root, split) for split in SPLITS}
    differing = sorted(set(classes["train"]) ^ set(classes["test"]))
    if differing:
        raise DatasetError(f"{root}: classes in only one of train and test: {', '.join(differing)}; {LAYOUT}")
    if len(classes["train"]) < 2:
        raise DatasetError(f"{root}: only one class, {classes['train'][0]}; give 2 or more")
    digest = hashlib.blake2b(digest_size=16)
    names: list[str] = []
    for split in SPLITS:
        for name in classes[split]:
            found = sorted(_images(root / split / name, f"{split}/{name}"))
            if not found:
                raise DatasetError(f"{root / split / name} holds no image; allowed: {', '.join(SUFFIXES)}")
            for image, size, time in found:
                names.append(image)
                digest.update(f"{image}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    return Listing(root, classes["train"], tuple(names), digest.hexdigest())


def identity(files: Listing, folder: Path) -> str:
    """Return the hash of a listing's names and bytes, remembered in a folder while no file's size or time changes."""
    known = folder / f"folder-{_hash(str(files.root).encode('utf-8', 'surrogateescape'))}.json"
    if known.exists():
        try:
            memory = json.loads(known.read_bytes())
            if memory["listing"] == files.digest:
                return str(memory["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{known} is damaged ({error!r}); remove it, and it is made anew") from error
    content = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(THREADS) as pool:
        for lines in pool.map(lambda chunk: _lines(files, chunk), _chunks(files)):
            content.update(lines)
    found = content.hexdigest()
    write_whole(known, json.dumps({"root": str(files.root), "listing": files.digest, "identity": found}).encode())
    return found


def shape(files: Listing) -> Shape:
    """Return what a folder's images look like, after the first of them, and how many there are."""
    image = _read(files.root / files.names[0])
    channels = 1 if image.mode in GREY else 3
    return Shape(channels, image.width, len(files.classes), files.count("train"), files.count("test"))


def read(files: Listing, progress: Progress) -> Dataset:
    """Return a folder's images: one channel where all are grey, else three.

    DatasetError names the first image that cannot be read, is not square, or has another size than the first.
    """
    size = _read(files.root / files.names[0]).size
    total = len(files.names)
    pixels = torch.empty((total, size[1], size[0], 3), dtype=torch.uint8)
    grey = True

    def fill(chunk: range) -> bool:
        greys = [_fill(files.root / files.names[i], size, pixels[i]) for i in chunk]
        return all(greys)

    pool = ThreadPoolExecutor(THREADS)
    try:
        for chunk, all_grey in zip(_chunks(files), pool.map(fill, _chunks(files)), strict=True):
            grey = grey and all_grey
            progress(f"reading {files.root}", chunk.stop, total)
    finally:
        pool.shutdown(cancel_futures=True)
    if grey:
        pixels = pixels[..., :1].contiguous()
    labels = torch.tensor(files.labels, dtype=torch.int64)
    train = files.count("train")
    return Dataset(pixels[:train], labels[:train], pixels[train:], labels[train:], files.classes)


def _classes(root: Path, split: str) -> tuple[str, ...]:
    if not (root / split).is_dir():
        raise DatasetError(f"{root} has no folder {split}; {LAYOUT}")
    found = tuple(sorted(entry.name for entry in os.scandir(root / split) if entry.is_dir() and entry.name[0] != "."))
    if not found:
        raise DatasetError(f"{root / split} has no class folders; {LAYOUT}")
    return found


def _images(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of the images below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _images(folder / entry.name, name)
            elif entry.name.lower().endswith(SUFFIXES):
                status = entry.stat()
                yield name, status.st_size, status.st_mtime_ns


def _chunks(files: Listing) -> list[range]:
    total = len(files.names)
    return [range(begin, min(begin + CHUNK, total)) for begin in range(0, total, CHUNK)]


def _lines(files: Listing, chunk: range) -> bytes:
    """Return name and hash of the bytes of some files, a line each."""
    names = [files.names[i] for i in chunk]
    lines = [f"{name}\0{_hash((files.root / name).read_bytes())}\n" for name in names]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _fill(path: Path, size: tuple[int, int], target: Tensor) -> bool:
    """Write an image's pixels into a tensor of three channels and return whether it is grey."""
    image = _read(path)
    if image.size != size:
        raise DatasetError(
            f"{path} is {image.width} x {image.height}, the images before it are {size[0]} x {size[1]}; "
            "bring all images of a dataset to one size"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    target.copy_(torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8).view(target.shape))
    return image.mode in GREY


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DatasetError(f"cannot read the image {path}: {error}; replace or remove it") from error
    if image.width != image.height:
        raise DatasetError(f"{path} is {image.width} x {image.height}; only square images are trained on")
    if image.mode in DEEP:
        raise DatasetError(f"{path} has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    return image
