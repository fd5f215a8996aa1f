"""Datasets as tensor files, with the identity of the images and a hash of the content."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump
from torch import Tensor

from data.atomic import write_whole
from data.datasets.source import DatasetError
from engine.dataset import Dataset

NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def save(dataset: Dataset, identity: str, path: Path) -> None:
    """Write a dataset to a file, whole or not at all; identity: from `data.datasets.registry.identity`."""
    # safetensors refuses tensors that share memory, as parts of one tensor do.
    own = {name: getattr(dataset, name).clone() for name in NAMES}
    marks = {"classes": json.dumps(dataset.classes), "identity": identity, "content": _hash(own, dataset, identity)}
    write_whole(path, dump(own, metadata=marks))


def load(path: Path) -> Dataset | None:
    """Return the dataset in a file, None without a file; DatasetError if it cannot be read."""
    return _read(path)[0] if path.exists() else None


def checked(path: Path, identity: str) -> Dataset:
    """Return the dataset in a file from another host; DatasetError if its images do not match identity and hash."""
    dataset, marks = _read(path)
    tensors = {name: getattr(dataset, name) for name in NAMES}
    if marks.get("identity") != identity:
        raise DatasetError(f"{path} holds other images ({marks.get('identity')}) than requested ({identity})")
    if marks.get("content") != _hash(tensors, dataset, identity):
        raise DatasetError(f"{path} is damaged: its images do not match their hash")
    return dataset


def is_marked(path: Path, identity: str) -> bool:
    """Return whether a file has the metadata that `checked` needs, which older files lack."""
    marks = _read(path)[1]
    return marks.get("identity") == identity and "content" in marks


def _read(path: Path) -> tuple[Dataset, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            marks = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in NAMES}
            return Dataset(**tensors, classes=tuple(json.loads(marks["classes"]))), marks
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} is damaged ({error}); remove it, then it is made anew") from error


def _hash(tensors: dict[str, Tensor], dataset: Dataset, identity: str) -> str:
    digest = hashlib.blake2b(json.dumps([identity, dataset.classes]).encode(), digest_size=16)
    for name in NAMES:
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
