"""Loading datasets from their files, from the cache of this machine, or from the artifact store."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from data.artifacts.store import Artifacts
from data.datasets import cache, hub
from data.datasets.check import check, refuse_known
from data.datasets.images import BadImage, read
from data.datasets.registry import (
    FOLDER,
    HUB,
    cache_folder,
    cached_file,
    identity,
    is_bundled,
    listing,
    must_be_fetched,
    reader,
    source,
)
from data.datasets.source import DatasetError, Progress, silent
from engine.dataset import Dataset
from engine.study.plan import Images

log = logging.getLogger(__name__)


def load(name: str, home: Path, progress: Progress | None = None) -> Dataset:
    """Return a dataset, downloaded or read from its files the first time and cached as one tensor file below home.

    name, home: as for `identity`. DatasetError as for `identity`, and if a download fails or an image cannot be read.
    """
    return _load(name, _identity(name, home, progress or silent), home, progress or silent)


def load_images(
    images: Images, home: Path, progress: Progress | None = None, artifacts: Artifacts | None = None
) -> Dataset:
    """Return the images that a stage trains and tests on.

    artifacts: contains the copy that `share` made, for images that this machine lacks. A limit means the first images
    of each class, equally many of each unless a class has too few. DatasetError as for `load`, if neither place has the
    content that the study was launched with, and for a limit above the number of images.
    """
    dataset = _own_or_shared(images, home, progress or silent, artifacts)
    train = _first(dataset.train_labels, images.train, len(dataset.classes), f"train_images of {images.name}")
    test = _first(dataset.test_labels, images.test, len(dataset.classes), f"test_images of {images.name}")
    if train is not None:
        dataset = replace(dataset, train_images=dataset.train_images[train], train_labels=dataset.train_labels[train])
    if test is not None:
        dataset = replace(dataset, test_images=dataset.test_images[test], test_labels=dataset.test_labels[test])
    return dataset


def share(images: Images, home: Path, artifacts: Artifacts, progress: Progress | None = None) -> None:
    """Save a dataset in the artifact store, once, unless every host that reads the store can make it itself.

    A store in a folder gets none, because its workers run here, or where this machine's folders are mounted. Raises
    DatasetError as `load_images` does, and ArtifactError if the store refuses it.
    """
    if artifacts.is_folder or is_bundled(images.name) or artifacts.has_dataset(images.identity):
        return
    report = progress or silent
    path = cached_file(images.name, images.identity, home)
    if not isinstance(_intact(path, images.identity), Dataset):
        report(f"reading {images.name}", 0, 0)
        _own(images, home, silent)
    size = path.stat().st_size
    report(f"copying {images.name} to the artifact store, for workers on other hosts", 0, size)
    artifacts.save_dataset(images.identity, path)


def _own_or_shared(images: Images, home: Path, progress: Progress, artifacts: Artifacts | None) -> Dataset:
    if artifacts is None or artifacts.is_folder or is_bundled(images.name):
        return _own(images, home, progress)
    readers = (_own, partial(_shared, artifacts))
    # Not every host has internet, so the artifact store comes before a download.
    first, second = readers if images.name.startswith(FOLDER) else readers[::-1]
    try:
        return first(images, home, progress)
    except DatasetError as error:
        reason = error
    try:
        return second(images, home, progress)
    except DatasetError as error:
        raise DatasetError(f"{reason}; and {error}") from error


def _own(images: Images, home: Path, progress: Progress) -> Dataset:
    content = _identity(images.name, home, progress)
    if content != images.identity:
        raise DatasetError(
            f"{images.name} holds other images than when the study was launched, or other code reads them (content "
            f"{content}, then {images.identity}); restore the old images, or launch the study anew"
        )
    return _load(images.name, content, home, progress)


def _identity(name: str, home: Path, progress: Progress) -> str:
    """Return the identity of a dataset, which is downloaded first if its identity is not known before."""
    if must_be_fetched(name, home):
        dataset = hub.fetch(name, cache_folder(home), progress)
        content = identity(name, home)
        cache.save(dataset, content, cached_file(name, content, home))
    return identity(name, home)


def _shared(artifacts: Artifacts, images: Images, home: Path, progress: Progress) -> Dataset:
    """Return a dataset from the artifact store, and cache it below home."""

    def fetch(path: Path) -> Dataset:
        progress(f"fetching {images.name} from the artifact store", 0, 0)
        aside = path.with_suffix(".part")
        try:
            if not artifacts.load_dataset(images.identity, aside):
                raise DatasetError(
                    f"{artifacts.url} holds no copy of {images.name} ({images.identity}); launch the study again from "
                    "a host that has these images, which puts one there"
                )
            try:
                dataset = cache.load_foreign(aside, images.identity)
            except DatasetError as error:
                raise DatasetError(
                    f"the copy of {images.name} at {artifacts.url}/datasets/{images.identity}.safetensors is faulty: "
                    f"{error}; remove it, and launch the study again from a host that has the images"
                ) from error
            aside.replace(path)
            return dataset
        finally:
            aside.unlink(missing_ok=True)

    return _cached(images.name, images.identity, home, fetch)


def _load(name: str, content: str, home: Path, progress: Progress) -> Dataset:
    def make(path: Path) -> Dataset:
        dataset = _read(name, content, home, progress)
        cache.save(dataset, content, path)
        return dataset

    return _cached(name, content, home, make)


def _cached(name: str, content: str, home: Path, make: Callable[[Path], Dataset]) -> Dataset:
    """Return a dataset from its file below home; make: called with the file's path if it is missing or damaged."""
    path = cached_file(name, content, home)
    found = _intact(path, content)
    if isinstance(found, Dataset):
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several workers may need the same dataset at once; one reads it, and the others wait.
    with FileLock(path.with_suffix(".lock")):
        found = _intact(path, content)
        if isinstance(found, Dataset):
            return found
        if found is not None:
            log.warning("%s; %s is read anew", found, name)
        try:
            return make(path)
        except DatasetError as error:
            if found is None:
                raise
            raise DatasetError(f"{found}, and cannot be made anew: {error}") from error


def _intact(path: Path, content: str) -> Dataset | cache.CacheDamaged | None:
    """Return the dataset in a file, how the file is damaged, or None without a file."""
    try:
        return cache.load(path, content)
    except cache.CacheDamaged as damage:
        return damage


def _read(name: str, content: str, home: Path, progress: Progress) -> Dataset:
    if name.startswith(HUB):
        return hub.fetch(name, cache_folder(home), progress)
    if not name.startswith(FOLDER):
        dataset = reader(name, content)(cache_folder(home), progress)
        _require_declared(name, dataset)
        return dataset
    refuse_known(name, content, home)
    files = listing(name)
    try:
        dataset = read(files, progress)
    except BadImage as error:
        # This lists all such images, where reading ends at the first.
        check(name, home, progress)
        raise DatasetError(str(error)) from error
    if listing(name).digest != files.digest:
        raise DatasetError(f"{files.root} was changed while it was read; try again when nobody changes it")
    return dataset


def _require_declared(name: str, dataset: Dataset) -> None:
    """Raise DatasetError for images and labels that are not what the dataset's entry says, as of a plugin's dataset."""
    declared, size = source(name).shape, source(name).shape.image_size
    for part in ("train", "test"):
        images, labels = getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels")
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != (size, size, declared.channels):
            found = f"{part} images of {str(images.dtype).removeprefix('torch.')} and shape {tuple(images.shape)}"
            wanted = f"uint8 of (images, {size}, {size}, {declared.channels})"
        elif (
            labels.dtype != torch.int64 or labels.shape != images.shape[:1] or len(dataset.classes) != declared.classes
        ):
            found = (
                f"{len(dataset.classes)} classes and {part} labels of {labels.dtype} and shape {tuple(labels.shape)}"
            )
            wanted = f"{declared.classes} classes and torch.int64 of ({len(images)},)"
        elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < declared.classes:
            found = f"{part} labels from {int(labels.min())} to {int(labels.max())}"
            wanted = f"0 to {declared.classes - 1}"
        else:
            continue
        raise DatasetError(f"{name} gives {found}, where its entry says {wanted}; correct one of them")


def _first(labels: Tensor, limit: int | None, classes: int, what: str) -> Tensor | None:
    """Return the positions of the first `limit` images, spread evenly over the classes; None for all."""
    if limit is None or limit == len(labels):
        return None
    if limit > len(labels):
        raise DatasetError(f"{what} is {limit}; allowed: 1 to {len(labels)}, which are all")
    places = [torch.nonzero(labels == label).flatten() for label in range(classes)]
    quota = _spread(limit, [len(place) for place in places])
    return torch.cat([place[:count] for place, count in zip(places, quota, strict=True)]).sort().values


def _spread(limit: int, sizes: list[int]) -> list[int]:
    """Return how many images of each class make up a limit, evenly; other classes fill in for a class with too few."""
    quota = [0] * len(sizes)
    while (remaining := limit - sum(quota)) > 0:
        open_classes = [i for i, size in enumerate(sizes) if quota[i] < size]
        share, extra = divmod(remaining, len(open_classes))
        for order, i in enumerate(open_classes):
            quota[i] = min(sizes[i], quota[i] + share + (order < extra))
    return quota
