"""Datasets by name: what they are, how to tell their content apart, and loading them.

To add one, write a function that returns an `engine.dataset.Dataset` and give it a line in DATASETS.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from data import cifar, digits, folder
from data.artifacts import write_whole
from data.sources import DatasetError, Progress, Source, silent
from engine.cost import Shape
from engine.dataset import Dataset
from engine.plan import Images

__all__ = ["DATASETS", "FOLDER", "DatasetError", "absolute", "identity", "load", "load_images", "shape"]

# A name that begins so goes on with the path of a folder.
FOLDER = "folder:"

DATASETS: dict[str, Source] = {
    "digits": Source(
        title="Digits",
        description="1,797 handwritten digits of 8 x 8 grey pixels (UCI, with scikit-learn); no download",
        identity=digits.CONTENT,
        shape=Shape(channels=1, image_size=8, classes=10, train=1437, test=360),
        read=digits.read,
    ),
    "cifar10": Source(
        title="CIFAR-10",
        description="60,000 photographs of 32 x 32 colour pixels in 10 classes; 170 MB download",
        identity=cifar.identity("c58f30108f718f92721af3b95e74349a"),
        shape=Shape(channels=3, image_size=32, classes=10, train=50_000, test=10_000),
        read=cifar.read_cifar10,
    ),
    "cifar100": Source(
        title="CIFAR-100",
        description="60,000 photographs of 32 x 32 colour pixels in 100 classes; 169 MB download",
        identity=cifar.identity("eb9058c3a382ffc7106e4002c42a8d85"),
        shape=Shape(channels=3, image_size=32, classes=100, train=50_000, test=10_000),
        read=cifar.read_cifar100,
    ),
}


def identity(name: str, home: Path) -> str:
    """Return 32 hex digits that change whenever the dataset's images, names or classes do.

    name: a key of DATASETS, or folder:<path>. home: `Settings.home`. Reads the files of a folder once, and afterwards
    only their sizes and times. DatasetError for a name that is unknown or a folder that is not laid out as it should.
    """
    if name.startswith(FOLDER):
        return folder.identity(_listing(name), _kept(home))
    return _source(name).identity


def absolute(name: str) -> str:
    """Return a dataset's name with a folder's path made absolute; it means the same wherever it is read.

    DatasetError for what can be no path.
    """
    path = name.removeprefix(FOLDER).strip()
    return f"{FOLDER}{_resolved(path)}" if name.startswith(FOLDER) and path else name


def shape(name: str, home: Path) -> Shape:
    """Return size, channels, classes and counts of a dataset without reading it all; errors as for `identity`.

    Of a folder only the first image is looked at; where a colour image follows a grey one, `load` gives 3 channels.
    """
    if not name.startswith(FOLDER):
        return _source(name).shape
    kept = _path(name, identity(name, home), home)
    found = _open(kept)
    if found is None:
        return folder.shape(_listing(name))
    return Shape(found.channels, found.image_size, len(found.classes), len(found.train_labels), len(found.test_labels))


def load(name: str, home: Path, progress: Progress | None = None) -> Dataset:
    """Return a dataset, downloaded or read from its files the first time and kept as one tensor file below home.

    name, home: as for `identity`. progress: called with a text, how much is done, and how much there is.
    DatasetError as for `identity`, and where a download fails or an image cannot be read.
    """
    return _load(name, identity(name, home), home, progress or silent)


def load_images(images: Images, home: Path, progress: Progress | None = None) -> Dataset:
    """Return the images that a stage trains and tests on.

    DatasetError as for `load`, where the content is no longer what the study was launched with, and for a limit above
    what there is. Limits take the first images of each class, the same number of each as far as they reach.
    """
    found = identity(images.name, home)
    if found != images.identity:
        raise DatasetError(
            f"{images.name} holds other images than when the study was launched (content {found}, then "
            f"{images.identity}); put the old images back, or launch the study anew"
        )
    dataset = _load(images.name, found, home, progress or silent)
    train = _first(dataset.train_labels, images.train, len(dataset.classes), f"train_images of {images.name}")
    test = _first(dataset.test_labels, images.test, len(dataset.classes), f"test_images of {images.name}")
    if train is not None:
        dataset = replace(dataset, train_images=dataset.train_images[train], train_labels=dataset.train_labels[train])
    if test is not None:
        dataset = replace(dataset, test_images=dataset.test_images[test], test_labels=dataset.test_labels[test])
    return dataset


def _source(name: str) -> Source:
    if name not in DATASETS:
        raise DatasetError(f"{name!r} is not a known dataset; allowed: {', '.join(DATASETS)}, folder:<path>")
    return DATASETS[name]


def _listing(name: str) -> folder.Listing:
    path = name.removeprefix(FOLDER).strip()
    if not path:
        raise DatasetError(f"{name!r} names no folder; give a path, such as folder:/data/flowers")
    return folder.listing(_resolved(path))


def _resolved(path: str) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"{path[:200]!r} is no path of a folder: {error}; give one such as /data/flowers") from error


def _kept(home: Path) -> Path:
    return home / "datasets"


def _path(name: str, content: str, home: Path) -> Path:
    kind = "folder" if name.startswith(FOLDER) else name
    return _kept(home) / f"{kind}-{content}.safetensors"


def _load(name: str, content: str, home: Path, progress: Progress) -> Dataset:
    path = _path(name, content, home)
    dataset = _open(path)
    if dataset is not None:
        return dataset
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several workers may want the same dataset first; one reads it, and the others wait.
    with FileLock(path.with_suffix(".lock")):
        dataset = _open(path)
        if dataset is None:
            dataset = _read(name, home, progress)
            _keep(dataset, path)
    return dataset


def _read(name: str, home: Path, progress: Progress) -> Dataset:
    if not name.startswith(FOLDER):
        return _source(name).read(_kept(home), progress)
    files = _listing(name)
    dataset = folder.read(files, progress)
    if _listing(name).digest != files.digest:
        raise DatasetError(f"{files.root} was changed while it was read; try again when it stays as it is")
    return dataset


def _keep(dataset: Dataset, path: Path) -> None:
    tensors = {
        "train_images": dataset.train_images,
        "train_labels": dataset.train_labels,
        "test_images": dataset.test_images,
        "test_labels": dataset.test_labels,
    }
    # Parts of one tensor share their memory, which safetensors refuses.
    own = {key: tensor.clone() for key, tensor in tensors.items()}
    write_whole(path, save(own, metadata={"classes": json.dumps(dataset.classes)}))


def _open(path: Path) -> Dataset | None:
    """Return the dataset kept in a file, None where it is not there."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no iterator of its own)
            return Dataset(**tensors, classes=tuple(json.loads(file.metadata()["classes"])))
    except (SafetensorError, OSError) as error:
        raise DatasetError(f"{path} is damaged ({error}); remove it, and it is made anew") from error


def _first(labels: Tensor, limit: int | None, classes: int, what: str) -> Tensor | None:
    """Return the positions of the first `limit` images, spread evenly over the classes; None for all."""
    if limit is None or limit == len(labels):
        return None
    if limit > len(labels):
        raise DatasetError(f"{what} is {limit}; allowed: 1 to {len(labels)}, which is all there are")
    places = [torch.nonzero(labels == label).flatten() for label in range(classes)]
    quota = _spread(limit, [len(place) for place in places])
    return torch.cat([place[:count] for place, count in zip(places, quota, strict=True)]).sort().values


def _spread(limit: int, sizes: list[int]) -> list[int]:
    """Share a limit out over classes of those sizes, evenly; what a small class cannot take goes to the others."""
    quota = [0] * len(sizes)
    while (left := limit - sum(quota)) > 0:
        open_classes = [i for i, size in enumerate(sizes) if quota[i] < size]
        share, extra = divmod(left, len(open_classes))
        for order, i in enumerate(open_classes):
            quota[i] = min(sizes[i], quota[i] + share + (order < extra))
    return quota
