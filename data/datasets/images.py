"""Reading the images of a folder: one by one to find those that cannot be trained on, or all into tensors."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image, UnidentifiedImageError

from data.datasets.folder import NAMED, THREADS, Listing, chunks, listed, listing
from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset, Shape

if TYPE_CHECKING:
    from torch import Tensor

GREY = ("1", "L", "LA")
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
PIXELS_ACROSS = 1_024
# All images of a dataset may take this share of the machine's memory.
MEMORY_SHARE = 0.5
# Pillow decides the format by a file's content, and for some other formats it starts programs.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# A line of `main` with the number of images that are done begins so.
DONE = "done "
# A folder's shape is that of its first image; if that cannot be trained on, so many others are tried.
TRIED = 100

T = TypeVar("T")


class BadImage(DatasetError):
    """An image cannot be trained on, by default because of its content."""

    def __init__(self, message: str, lasting: bool = True) -> None:
        super().__init__(message, lasting)


@dataclass(frozen=True)
class Faults:
    """Images of a folder that cannot be trained on.

    images: the number of all images. count: that of the faulty ones. first: for each of the first, its name and why.
    lasting: all reasons lie in the content of the files.
    """

    images: int
    count: int
    first: tuple[str, ...]
    lasting: bool

    def refuse(self, root: Path) -> None:
        """Raise DatasetError with the first faults and the number of all, if there are any."""
        if self.count:
            what = f"of the {self.images:,} images in {root} cannot be trained on; replace or remove them"
            raise DatasetError(listed(root, self.first, what, "; replace or remove it", self.count), self.lasting)


def faults(files: Listing, progress: Progress) -> Faults:
    """Read every image of a folder, and return those that cannot be read, are not square, or differ in size."""

    def outcome(name: str) -> tuple[int, int] | BadImage:
        try:
            return _read(files.root / name).size
        except BadImage as error:
            return error

    outcomes = _each(files, outcome, f"checking the images in {files.root}", progress)
    sizes = Counter(outcome for outcome in outcomes if isinstance(outcome, tuple))
    # Of sizes that are equally frequent, this is the first.
    usual = max(sizes, key=sizes.__getitem__, default=None)
    found, lasting = [], True
    for name, outcome_of in zip(files.names, outcomes, strict=True):
        if isinstance(outcome_of, BadImage):
            found.append(f"{name} {outcome_of}")
            lasting = lasting and outcome_of.lasting
        elif outcome_of != usual:
            found.append(f"{name} {other_size(outcome_of, usual)}")
    return Faults(len(files.names), len(found), tuple(found[:NAMED]), lasting)


def shape(files: Listing) -> Shape:
    """Return the shape of a folder's dataset, judged by its first image that can be trained on.

    DatasetError if none of the first `TRIED` images can.
    """
    found = []
    for name in files.names[:TRIED]:
        try:
            image = _read(files.root / name)
        except BadImage as error:
            found.append(f"{name} {error}")
            continue
        channels = 1 if image.mode in GREY else 3
        return Shape(channels, image.width, len(files.classes), files.count("train"), files.count("test"))
    what = f"images in {files.root}, its first ones, cannot be trained on; replace or remove them"
    raise DatasetError(listed(files.root, found, what, "; replace or remove it"))


def read(files: Listing, progress: Progress) -> Dataset:
    """Return a folder's images: one channel where all are grey, else three.

    BadImage names the first image that cannot be read, is not square, or has another size than the first; `faults`
    finds all. DatasetError if the images need too much memory.
    """
    # PyTorch is imported late, because only reading needs it.
    import torch

    def named(name: str) -> Image.Image:
        try:
            return _read(files.root / name)
        except BadImage as error:
            raise BadImage(f"{files.root / name} {error}; replace or remove it", error.lasting) from error

    size = named(files.names[0]).size
    total = len(files.names)
    require_memory(str(files.root), total, size)
    pixels = torch.empty((total, size[1], size[0], 3), dtype=torch.uint8)
    place = {name: i for i, name in enumerate(files.names)}

    def fill(name: str) -> bool:
        image = named(name)
        if image.size != size:
            raise BadImage(f"{files.root / name} {other_size(image.size, size)}")
        return fill_pixels(image, pixels[place[name]])

    if all(_each(files, fill, f"reading {files.root}", progress)):
        pixels = pixels[..., :1].contiguous()
    labels = torch.tensor(files.labels, dtype=torch.int64)
    train = files.count("train")
    return Dataset(pixels[:train], labels[:train], pixels[train:], labels[train:], files.classes)


def require_memory(what: str, total: int, size: tuple[int, int]) -> None:
    """Raise DatasetError for images of a size in pixels that need more than MEMORY_SHARE of this machine's memory."""
    needed, memory = total * size[0] * size[1] * 3, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > MEMORY_SHARE * memory:
        raise DatasetError(
            f"{what}: {total:,} images of {size[0]} x {size[1]} take {needed / 2**30:.1f} GiB, and this machine "
            f"has {memory / 2**30:.1f} in all; give fewer, or scale them down"
        )


def _each(files: Listing, function: Callable[[str], T], what: str, progress: Progress) -> list[T]:
    """Return what a function returns for the name of each image, computed by several threads."""

    def part(chunk: range) -> list[T]:
        return [function(files.names[i]) for i in chunk]

    results: list[T] = []
    pool = ThreadPoolExecutor(THREADS)
    try:
        for values in pool.map(part, chunks(files)):
            results += values
            progress(what, len(results), len(files.names))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def other_size(size: tuple[int, int], usual: tuple[int, int] | None) -> str:
    """Return what is wrong with an image of another size than the usual one."""
    others = "" if usual is None else f", others are {usual[0]} x {usual[1]}"
    return f"is {size[0]} x {size[1]}{others}; bring all images of a dataset to one size"


def fill_pixels(image: Image.Image, target: "Tensor") -> bool:
    """Write an image's pixels into a tensor of three channels and return whether it is grey."""
    import torch

    grey = image.mode in GREY
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    target.copy_(torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8).view(target.shape))
    return grey


def _read(path: Path) -> Image.Image:
    """Return a decoded image; raises BadImage."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Pillow has only read the header so far, and decoded nothing.
            if max(image.size) > PIXELS_ACROSS:
                raise BadImage(
                    f"is {image.width} x {image.height}; allowed: up to {PIXELS_ACROSS} pixels across; scale it down"
                )
            image.load()
    except BadImage:
        raise
    except UnidentifiedImageError:
        what = f"is no image of the formats {', '.join(FORMATS)}" if path.stat().st_size else "is empty"
        raise BadImage(what) from None
    except Exception as error:  # A decoder may raise anything for damaged data.
        # Pillow's own errors have no number; those of the system may pass, and are not about the content.
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)[:300]
        raise BadImage(f"cannot be read: {reason}", lasting=number is None) from error
    refuse_unfit(image)
    return image


def refuse_unfit(image: Image.Image) -> None:
    """Raise BadImage for an image that is not square or has more than 8 bits per channel."""
    if image.width != image.height:
        raise BadImage(f"is {image.width} x {image.height}; only square images are trained on")
    if image.mode in DEEP:
        raise BadImage(f"has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")


def main() -> None:
    """Look for faults in the folder of the first argument; print how many images are done, and at last what was found.

    `data.datasets.check` runs this in another process.
    """
    files = listing(Path(sys.argv[1]))
    found = faults(files, lambda what, done, total: print(f"{DONE}{done}", flush=True))
    try:
        # The caller compares this with its own listing from before.
        after = listing(files.root).digest
    except DatasetError:
        after = ""
    print(json.dumps({"listing": after, "found": asdict(found)}))


if __name__ == "__main__":
    main()
