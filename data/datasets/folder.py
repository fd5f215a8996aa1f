"""Folders of images by class, in the layout of torchvision's ImageFolder or of Tiny ImageNet: names and identity."""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from data.atomic import write_whole
from data.datasets.source import DatasetError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LAYOUT = "a dataset is a folder with train/<class>/ and test/<class>/, the same classes in both, and images in each"
THREADS = min(4, os.cpu_count() or 1)
CHUNK = 500

# Tiny ImageNet's test images have no labels; its validation images, which one folder holds, have them in this file.
ANNOTATIONS = "val/val_annotations.txt"

# Without these limits, which are far above the usual, a folder from a stranger could fill the memory.
CLASSES, IMAGES = 10_000, 5_000_000
FILE_BYTES = 64 * 2**20
DEPTH = 20
# The most files that a message names.
NAMED = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The images of a folder, in sorted order, first those to train on.

    names: train/<class>/… or test/<class>/…, relative to the root; in Tiny ImageNet the latter are val/images/…, whose
    classes are in `annotated`.
    """

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    digest: str
    annotated: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The class of each image, as its position in `classes`."""
        number = {name: i for i, name in enumerate(self.classes)}
        return tuple(number[self.annotated.get(name) or name.split("/", 2)[1]] for name in self.names)

    def count(self, split: str) -> int:
        """Return the number of images in train or test."""
        return sum(name.startswith("train/") == (split == "train") for name in self.names)


def listing(root: Path) -> Listing:
    """Return the images of a folder; the digest covers names, sizes and times.

    DatasetError for another layout, and with all files that cannot be looked at.
    """
    try:
        is_folder = root.is_dir()
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot look into {str(root)[:200]!r}: {error}; {LAYOUT}") from error
    if not is_folder:
        raise DatasetError(f"no folder at {str(root)[:1000]}; {LAYOUT}")
    annotated = _annotations(root) if (root / ANNOTATIONS).is_file() else {}
    classes = _classes(root, "train")
    differing = sorted(set(classes) ^ set(annotated.values() if annotated else _classes(root, "test")))
    if differing:
        named = ", ".join(differing[:NAMED]) + (f" and {len(differing) - NAMED:,} more" * (len(differing) > NAMED))
        raise DatasetError(f"{root}: classes in only one of train and {_test(annotated)}: {named}; {LAYOUT}")
    if len(classes) < 2:
        raise DatasetError(f"{root}: only one class, {classes[0]}; give 2 or more")
    if len(classes) > CLASSES:
        raise DatasetError(f"{root}: {len(classes):,} classes; allowed: 2 to {CLASSES:,}")
    digest = hashlib.blake2b(digest_size=16)
    names: list[str] = []
    faults: list[str] = []
    folders = [f"train/{name}" for name in classes]
    folders += ["val/images"] if annotated else [f"test/{name}" for name in classes]
    for folder in folders:
        images = sorted(_images(root / folder, folder, faults))
        if len(names) + len(images) > IMAGES:
            raise DatasetError(f"{root}: more than {IMAGES:,} images; give fewer")
        if not images:
            faults.append(f"{folder} holds no image; allowed: {', '.join(SUFFIXES)}")
        for image, size, time in images:
            names.append(image)
            digest.update(f"{image}\0{size}\0{time}\n".encode("utf-8", "surrogateescape"))
    if annotated:
        faults += _not_annotated(annotated, names)
        digest.update(json.dumps(annotated, sort_keys=True).encode())
    _refuse(root, faults)
    return Listing(root, classes, tuple(names), digest.hexdigest(), annotated)


def _test(annotated: Mapping[str, str]) -> str:
    return ANNOTATIONS if annotated else "test"


def _annotations(root: Path) -> dict[str, str]:
    """Return the classes of Tiny ImageNet's validation images by name: the first two columns of a file."""
    try:
        lines = (root / ANNOTATIONS).read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip()]
        found = {f"val/images/{row[0]}": row[1] for row in rows}
    except (OSError, ValueError, IndexError) as error:
        raise DatasetError(f"{root / ANNOTATIONS} cannot be read as lines of image and class: {error}") from error
    if not found:
        raise DatasetError(f"{root / ANNOTATIONS} is empty; unpack Tiny ImageNet anew")
    return found


def _not_annotated(annotated: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each validation image without a class, and for each class without its image."""
    present = {name for name in names if name.startswith("val/")}
    yield from (f"{name} is not in {ANNOTATIONS}" for name in sorted(present - annotated.keys()))
    yield from (f"{name} is missing, which {ANNOTATIONS} lists" for name in sorted(annotated.keys() - present))


def listed(root: Path, faults: Sequence[str], many: str, one: str = "", count: int = 0) -> str:
    """Return a message with a line for each of a folder's first faults, which are sentences that begin with a name.

    many: what several faults have in common, such as "files cannot be read". one: what is added to a single fault.
    count: the number of all faults, of which the first are listed.
    """
    lines = [fault if fault.isprintable() else repr(fault)[1:-1] for fault in faults[:NAMED]]
    count = max(count, len(faults))
    if count == 1:
        return f"{root}/{lines[0]}{one}"
    more = [f"and {count - len(lines):,} more"] if count > len(lines) else []
    return "\n".join([f"{count:,} {many}:", *lines, *more])


def _refuse(root: Path, faults: Sequence[str]) -> None:
    if faults:
        raise DatasetError(listed(root, faults, f"files or folders in {root} cannot be used; fix or remove them"))


def identity(files: Listing, folder: Path) -> str:
    """Return the hash of a listing's names and bytes, cached in a folder while no file's size or time changes."""
    cached = folder / f"folder-{_hash(str(files.root).encode('utf-8', 'surrogateescape'))}.json"
    if cached.exists():
        try:
            values = json.loads(cached.read_bytes())
            if values["listing"] == files.digest:
                return str(values["identity"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%r) and is written again", cached, error)
    content = hashlib.blake2b(digest_size=16)
    if files.annotated:
        content.update(json.dumps(files.annotated, sort_keys=True).encode())
    faults: list[str] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for lines in pool.map(lambda chunk: _lines(files, chunk, faults), chunks(files)):
            content.update(lines)
    _refuse(files.root, sorted(faults))
    values = {"root": str(files.root), "listing": files.digest, "identity": content.hexdigest()}
    write_whole(cached, json.dumps(values).encode())
    return content.hexdigest()


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


def _images(folder: Path, prefix: str, faults: list[str], depth: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of the images below a folder; links are followed, as some datasets consist of them.

    faults: gets a sentence for each file and folder that cannot be looked at.
    """
    if depth > DEPTH:
        raise DatasetError(f"{folder} lies more than {DEPTH} folders deep; does a link lead back to a folder above it?")
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        faults.append(f"{prefix} cannot be looked into: {error.strerror}")
        return
    for entry in entries:
        name = f"{prefix}/{entry.name}"
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir():
                yield from _images(folder / entry.name, name, faults, depth + 1)
                continue
            if not entry.name.lower().endswith(SUFFIXES):
                continue
            status = entry.stat()
        except OSError as error:
            faults.append(f"{name} cannot be looked at: {error.strerror}")
            continue
        # Opening a pipe waits for its other end, and a device may never end.
        if not stat.S_ISREG(status.st_mode):
            faults.append(f"{name} is a pipe, a device or the like; remove it")
        elif status.st_size > FILE_BYTES:
            faults.append(f"{name} has {status.st_size:,} bytes; allowed: {FILE_BYTES:,}; scale it down")
        else:
            yield name, status.st_size, status.st_mtime_ns


def chunks(files: Listing) -> list[range]:
    """Return the positions of a folder's images in parts, each for one thread."""
    total = len(files.names)
    return [range(begin, min(begin + CHUNK, total)) for begin in range(0, total, CHUNK)]


def _lines(files: Listing, chunk: range, faults: list[str]) -> bytes:
    """Return lines with the name and the hash of each of some files; faults: as in `_images`."""
    lines = []
    for name in (files.names[i] for i in chunk):
        try:
            lines.append(f"{name}\0{_hash((files.root / name).read_bytes())}\n")
        except OSError as error:
            faults.append(f"{name} cannot be read: {error.strerror}")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
