"""Datasets of images in folders train/<class>/ and test/<class>/, the layout of torchvision's ImageFolder."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from data.atomic import write_whole
from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset, Shape

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
GREY = ("1", "L", "LA")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
SPLITS = ("train", "test")
LAYOUT = "a dataset is a folder with train/<class>/ and test/<class>/, the same classes in both, and images in each"
THREADS = min(4, os.cpu_count() or 1)
CHUNK = 500

# Without these limits, which are far above the usual, a folder from a stranger could fill the memory.
CLASSES, IMAGES = 10_000, 5_000_000
PIXELS_ACROSS = 1_024
# All images of a dataset may take this share of the machine's memory.
MEMORY_SHARE = 0.5
FILE_BYTES = 64 * 2**20
DEPTH = 20
# Pillow decides the format by a file's content, and for some other formats it starts programs.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclass(frozen=True)
class Listing:
    """The images of a folder, in sorted order; names are train/<class>/… or test/<class>/…, relative to the root."""

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    digest: str

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The class of each image, as its position in `classes`."""
        number = {name: i for i, name in enumerate(self.classes)}
        return tuple(number[name.split("/", 2)[1]] for name in self.names)

    def count(self, split: str) -> int:
        """Return the number of images in train or test."""
        return sum(name.startswith(f"{split}/") for name in self.names)


def listing(root: Path) -> Listing:
    """Return the images of a folder; the digest covers names, sizes and times. DatasetError for another layout."""
    try:
        is_folder = root.is_dir()
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot look into {str(root)[:200]!r}: {error}; {LAYOUT}") from error
    if not is_folder:
        raise DatasetError(f"no folder at {str(root)[:1000]}; {LAYOUT}")
    classes = {split: _classes(root, split) for split in SPLITS}
    differing = sorted(set(classes["train"]) ^ set(classes["test"]))
    if differing:
        raise DatasetError(f"{root}: classes in only one of train and test: {', '.join(differing)}; {LAYOUT}")
    if len(classes["train"]) < 2:
        raise DatasetError(f"{root}: only one class, {classes['train'][0]}; give 2 or more")
    if len(classes["train"]) > CLASSES:
        raise DatasetError(f"{root}: {len(classes['train']):,} classes; allowed: 2 to {CLASSES:,}")
    digest = hashlib.blake2b(digest_size=16)
    names: list[str] = []
    for split in SPLITS:
        for name in classes[split]:
            try:
                images = sorted(_images(root / split / name, f"{split}/{name}"))
            except OSError as error:
                raise DatasetError(f"cannot look into {root / split / name}: {error}; fix or remove it") from error
            if len(names) + len(images) > IMAGES:
                raise DatasetError(f"{root}: more than {IMAGES:,} images; give fewer")
            if not images:
                raise DatasetError(f"{root / split / name} holds no image; allowed: {', '.join(SUFFIXES)}")
            for image, size, time in images:
                names.append(image)
                digest.update(f"{image}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    return Listing(root, classes["train"], tuple(names), digest.hexdigest())


def identity(files: Listing, folder: Path) -> str:
    """Return the hash of a listing's names and bytes, cached in a folder while no file's size or time changes."""
    cached = folder / f"folder-{_hash(str(files.root).encode('utf-8', 'surrogateescape'))}.json"
    if cached.exists():
        try:
            values = json.loads(cached.read_bytes())
            if values["listing"] == files.digest:
                return str(values["identity"])
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{cached} is damaged ({error!r}); remove it, then it is made anew") from error
    content = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(THREADS) as pool:
        for lines in pool.map(lambda chunk: _lines(files, chunk), _chunks(files)):
            content.update(lines)
    values = {"root": str(files.root), "listing": files.digest, "identity": content.hexdigest()}
    write_whole(cached, json.dumps(values).encode())
    return content.hexdigest()


def shape(files: Listing) -> Shape:
    """Return the shape of a folder's dataset, judged by its first image."""
    image = _read(files.root / files.names[0])
    channels = 1 if image.mode in GREY else 3
    return Shape(channels, image.width, len(files.classes), files.count("train"), files.count("test"))


def read(files: Listing, progress: Progress) -> Dataset:
    """Return a folder's images: one channel where all are grey, else three.

    DatasetError names the first image that cannot be read, is not square, or has another size than the first.
    """
    # PyTorch is imported late, because only reading needs it.
    import torch

    size = _read(files.root / files.names[0]).size
    total = len(files.names)
    needed, memory = total * size[0] * size[1] * 3, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > MEMORY_SHARE * memory:
        raise DatasetError(
            f"{files.root}: {total:,} images of {size[0]} x {size[1]} take {needed / 2**30:.1f} GiB, and this machine "
            f"has {memory / 2**30:.1f} in all; give fewer, or scale them down"
        )
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
    try:
        found = tuple(sorted(e.name for e in os.scandir(root / split) if e.is_dir() and e.name[0] != "."))
    except OSError as error:
        raise DatasetError(f"cannot look into {root / split}: {error}; fix or remove it") from error
    if not found:
        raise DatasetError(f"{root / split} has no class folders; {LAYOUT}")
    return found


def _images(folder: Path, prefix: str, depth: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of the images below a folder; links are followed, as some datasets consist of them."""
    if depth > DEPTH:
        raise DatasetError(f"{folder} lies more than {DEPTH} folders deep; does a link lead back to a folder above it?")
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _images(folder / entry.name, name, depth + 1)
            elif entry.name.lower().endswith(SUFFIXES):
                status = entry.stat()
                # Opening a pipe waits for its other end, and a device may never end.
                if not stat.S_ISREG(status.st_mode):
                    raise DatasetError(f"{folder / entry.name} is a pipe, a device or the like; remove it")
                if status.st_size > FILE_BYTES:
                    raise DatasetError(
                        f"{folder / entry.name} has {status.st_size:,} bytes; allowed: {FILE_BYTES:,}; scale it down"
                    )
                yield name, status.st_size, status.st_mtime_ns


def _chunks(files: Listing) -> list[range]:
    total = len(files.names)
    return [range(begin, min(begin + CHUNK, total)) for begin in range(0, total, CHUNK)]


def _lines(files: Listing, chunk: range) -> bytes:
    """Return lines with the name of a file and the hash of its bytes, for some of the files."""
    names = [files.names[i] for i in chunk]
    lines = [f"{name}\0{_hash((files.root / name).read_bytes())}\n" for name in names]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _fill(path: Path, size: tuple[int, int], target: "Tensor") -> bool:
    """Write an image's pixels into a tensor of three channels and return whether it is grey."""
    import torch

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
        with Image.open(path, formats=FORMATS) as image:
            # Pillow has only read the header so far, and decoded nothing.
            if max(image.size) > PIXELS_ACROSS:
                raise DatasetError(
                    f"{path} is {image.width} x {image.height}; allowed: up to {PIXELS_ACROSS} pixels across; "
                    "scale it down"
                )
            image.load()
    except DatasetError:
        raise
    except Exception as error:  # A decoder may raise anything for damaged data.
        raise DatasetError(f"cannot read the image {path}: {str(error)[:300]}; replace or remove it") from error
    if image.width != image.height:
        raise DatasetError(f"{path} is {image.width} x {image.height}; only square images are trained on")
    if image.mode in DEEP:
        raise DatasetError(f"{path} has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    return image
