"""Datasets of the Hugging Face Hub, hf:<name>, through its package `datasets`, which is no dependency of Ticketscope.

A name is that of the hub, such as hf:ylecun/mnist, and after a colon that of a configuration, if it has several. The
images are downloaded before a study is planned, because their hash, size and number are only known then.
"""

import hashlib
import importlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from data.atomic import write_whole
from data.datasets.images import BadImage, fill_pixels, other_size, refuse_unfit, require_memory
from data.datasets.source import DatasetError, Progress
from engine.dataset import Dataset, Shape

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

PREFIX = "hf:"
# No path can be written so: a folder of images is folder:<path>.
NAME = re.compile(r"hf:(?P<path>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?::(?P<config>[\w.+-]+))?")
# The split to test on is the first of these that there is.
TEST = ("test", "validation", "valid", "val")
# Where there are several columns of images or of classes, the first of these is meant.
COLUMNS = {"Image": ("image", "img"), "ClassLabel": ("label", "labels", "fine_label")}
ROWS = 500


class NotFetched(DatasetError):
    """A dataset of the hub is not on this machine yet."""


def identity(name: str, folder: Path) -> str:
    """Return the hash of a dataset's images, labels and classes; NotFetched before `fetch`."""
    return str(_marks(name, folder)["identity"])


def shape(name: str, folder: Path) -> Shape:
    """Return the shape of a dataset; NotFetched before `fetch`."""
    return Shape(**_marks(name, folder)["shape"])


def is_fetched(name: str, folder: Path) -> bool:
    """Return whether `fetch` was done."""
    return _read(_file(name, folder)) is not None


def fetch(name: str, folder: Path, progress: Progress) -> Dataset:
    """Download a dataset, record its identity and shape in a folder, and return it.

    Raises DatasetError for a name that the hub does not have, without the package `datasets`, and for images that
    cannot be trained on.
    """
    file = _file(name, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Several workers may need it at once; the package shares its own files among them.
    with FileLock(file.with_suffix(".lock")):
        dataset = _downloaded(name, progress)
        marks = {
            "name": name,
            "identity": _content(dataset),
            "shape": {
                "channels": dataset.channels,
                "image_size": dataset.image_size,
                "classes": len(dataset.classes),
                "train": len(dataset.train_labels),
                "test": len(dataset.test_labels),
            },
        }
        before = _read(file)
        if before is None:
            write_whole(file, json.dumps(marks).encode())
        elif before["identity"] != marks["identity"]:
            raise DatasetError(
                f"the hub has other images of {name} now than when they were fetched; to train on the new ones, remove "
                f"{file} and launch the study anew"
            )
    return dataset


def _marks(name: str, folder: Path) -> dict[str, Any]:
    marks = _read(_file(name, folder))
    if marks is None:
        raise NotFetched(f"{name} is not on this machine yet; download it with: ticketscope fetch {name}")
    return marks


def _read(file: Path) -> dict[str, Any] | None:
    try:
        marks: dict[str, Any] = json.loads(file.read_bytes())
        Shape(**marks["shape"])
        return marks if isinstance(marks["identity"], str) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%r), so its images are fetched again", file, error)
        return None


def _file(name: str, folder: Path) -> Path:
    if not NAME.fullmatch(name):
        raise DatasetError(
            f"{name[:80]!r} is no dataset of the hub; write hf:<owner>/<name>, such as hf:ylecun/mnist, and :<name> of "
            "a configuration after it if there are several; a folder of images is folder:<path>"
        )
    return folder / f"hub-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}.json"


def _downloaded(name: str, progress: Progress) -> Dataset:
    import torch

    parts = _parts(name, progress)
    test = next((split for split in TEST if split in parts), None)
    if "train" not in parts or test is None:
        raise DatasetError(
            f"{name} has the splits {', '.join(parts)}; needed: train, and one of {', '.join(TEST)} to test on"
        )
    splits = {split: parts[split] for split in ("train", test)}
    columns = {kind: _column(name, splits["train"].features, kind) for kind in COLUMNS}
    classes = tuple(map(str, splits["train"].features[columns["ClassLabel"]].names))
    total, done = sum(map(len, splits.values())), 0
    pixels: Tensor | None = None
    grey = True
    labels: list[int] = []
    for split, number, image, label in _rows(splits, columns):
        where = f"image {number} of {split} of {name}"
        size = _size(image, where)
        if pixels is None:
            require_memory(name, total, size)
            pixels = torch.empty((total, size[1], size[0], 3), dtype=torch.uint8)
        grey &= _fill(image, pixels[done], where)
        if not isinstance(label, int) or not 0 <= label < len(classes):
            raise DatasetError(f"{where} has the label {label!r}; allowed: 0 to {len(classes) - 1}, a class for each")
        labels.append(label)
        done += 1
        if done % ROWS == 0 or done == total:
            progress(f"reading {name}", done, total)
    if pixels is None or len(classes) < 2 or not all(map(len, splits.values())):
        raise DatasetError(f"{name} has {len(classes)} classes and {done} images; give one of 2 classes or more")
    images = pixels[..., :1].contiguous() if grey else pixels
    targets, train = torch.tensor(labels, dtype=torch.int64), len(splits["train"])
    return Dataset(images[:train], targets[:train], images[train:], targets[train:], classes)


def _parts(name: str, progress: Progress) -> Any:
    """Return the splits of a dataset by name, as the package `datasets` does."""
    found = NAME.fullmatch(name)
    assert found is not None
    spec = find_spec("datasets")
    # A folder of this name that lies beside a plugin is no package.
    if spec is None or spec.origin is None:
        raise DatasetError(
            f"{name} needs the package datasets of Hugging Face; install it where this runs: "
            f"{sys.executable} -m pip install datasets"
        )
    progress(f"downloading {name}", 0, 0)
    try:
        package: Any = importlib.import_module("datasets")
        package.disable_progress_bars()
        return package.load_dataset(found["path"], found["config"])
    except Exception as error:  # The package and the scripts of datasets raise anything.
        text = " ".join(str(error).split())[:500]
        raise DatasetError(f"{name} cannot be downloaded: {type(error).__name__}: {text}") from error


def _column(name: str, features: Any, kind: str) -> str:
    """Return the column that has the images or the classes; features: of the package, by column."""
    found = [str(column) for column, feature in features.items() if type(feature).__name__ == kind]
    preferred = [column for column in COLUMNS[kind] if column in found]
    if not preferred and len(found) != 1:
        what = {"Image": "images", "ClassLabel": "classes"}[kind]
        raise DatasetError(
            f"{name} has {'no column' if not found else 'several columns'} of {what} among {', '.join(features)}; "
            f"needed: one of the type {kind}, or named {' or '.join(COLUMNS[kind])}"
        )
    return (preferred or found)[0]


def _rows(splits: dict[str, Any], columns: dict[str, str]) -> Iterator[tuple[str, int, Any, Any]]:
    """Yield split, number, image and label of each image."""
    for split, part in splits.items():
        for begin in range(0, len(part), ROWS):
            some = part[begin : begin + ROWS]
            pairs = zip(some[columns["Image"]], some[columns["ClassLabel"]], strict=True)
            yield from ((split, begin + i, image, label) for i, (image, label) in enumerate(pairs))


def _size(image: Any, where: str) -> tuple[int, int]:
    if image is None:
        raise DatasetError(f"{where} is missing")
    try:
        refuse_unfit(image)
    except BadImage as error:
        raise DatasetError(f"{where} {error}") from error
    return int(image.width), int(image.height)


def _fill(image: Any, target: "Tensor", where: str) -> bool:
    """Write an image into a tensor, and return whether it is grey."""
    usual = (target.shape[1], target.shape[0])
    if image.size != usual:
        raise DatasetError(f"{where} {other_size(image.size, usual)}")
    return fill_pixels(image, target)


def _content(dataset: Dataset) -> str:
    digest = hashlib.blake2b(json.dumps(dataset.classes).encode(), digest_size=16)
    for tensor in (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels):
        digest.update(json.dumps(list(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
