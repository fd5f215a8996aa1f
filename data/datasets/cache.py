"""Datasets as tensor files, with the identity of the images and a hash of the content."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump
from torch import Tensor

from data.atomic import write_whole
from data.datasets.source import DatasetError
from engine.dataset import Dataset, Shape

NAMES = ("train_images", "train_labels", "test_images", "test_labels")


class CacheDamaged(DatasetError):
    """A file of a cached dataset cannot be read, or its content is not what was written."""


def save(dataset: Dataset, identity: str, path: Path) -> None:
    """Write a dataset to a file, whole or not at all; identity: from `data.datasets.registry.identity`."""
    # safetensors refuses tensors that share memory, as parts of one tensor do, and those with gaps or another order.
    own = {name: getattr(dataset, name).clone(memory_format=torch.contiguous_format) for name in NAMES}
    marks = {"classes": json.dumps(dataset.classes), "identity": identity, "content": _hash(own, dataset, identity)}
    write_whole(path, dump(own, metadata=marks))


def load(path: Path, identity: str) -> Dataset | None:
    """Return the dataset in a file, None without a file; CacheDamaged if its content has another hash.

    A file of an older version has no hash. It is returned as it is, and gets one, so that later damage is noticed.
    """
    if not path.exists():
        return None
    dataset, marks = _read(path)
    if "content" in marks:
        return _checked(path, dataset, marks, identity)
    # Where nothing can be written, it is used without.
    with suppress(OSError):
        save(dataset, identity, path)
    return dataset


def load_foreign(path: Path, identity: str) -> Dataset:
    """Return the dataset in a file from another host, which must have a hash; raises `CacheDamaged` as `load` does."""
    return _checked(path, *_read(path), identity)


def shape(path: Path) -> Shape | None:
    """Return the shape of the dataset in a file, from its header alone; None without a file or for a damaged one."""
    try:
        with safe_open(path, framework="pt") as file:
            train, height, _, channels = file.get_slice("train_images").get_shape()
            test = file.get_slice("test_images").get_shape()[0]
            return Shape(channels, height, len(json.loads(file.metadata()["classes"])), train, test)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None


def _checked(path: Path, dataset: Dataset, marks: dict[str, str], identity: str) -> Dataset:
    tensors = {name: getattr(dataset, name) for name in NAMES}
    if marks.get("identity") != identity:
        raise CacheDamaged(f"{path} holds other images ({marks.get('identity')}) than requested ({identity})")
    if marks.get("content") != _hash(tensors, dataset, identity):
        raise CacheDamaged(f"{path} is damaged: its images do not match their hash")
    return dataset


def _read(path: Path) -> tuple[Dataset, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            marks = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in NAMES}
            return Dataset(**tensors, classes=tuple(json.loads(marks["classes"]))), marks
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise CacheDamaged(f"{path} is damaged: {error}") from error


def _hash(tensors: dict[str, Tensor], dataset: Dataset, identity: str) -> str:
    digest = hashlib.blake2b(json.dumps([identity, dataset.classes]).encode(), digest_size=16)
    for name in NAMES:
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
