"""Datasets by name: what they are, and how to tell their content apart; `data.datasets.loading` reads them.

To add one, write a function that returns an `engine.dataset.Dataset` and give it a line in DATASETS.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from data.artifacts.store import FINGERPRINT
from data.datasets import cifar, digits, folder
from data.datasets.source import DatasetError, Progress, Source
from engine import code
from engine.dataset import Dataset, Shape

__all__ = ["DATASETS", "FOLDER", "DatasetError", "absolute", "identity", "shape"]

# A name that begins so goes on with the path of a folder.
FOLDER = "folder:"

DATASETS: dict[str, Source] = {
    "digits": Source(
        title="Digits",
        description="1,797 handwritten digits of 8 x 8 grey pixels (UCI, with scikit-learn); no download",
        identity=digits.CONTENT,
        shape=Shape(channels=1, image_size=8, classes=10, train=1437, test=360),
        read="data.datasets.digits:read",
        bundled=True,
        version=1,
    ),
    "cifar10": Source(
        title="CIFAR-10",
        description="60,000 photographs of 32 x 32 colour pixels in 10 classes; 170 MB download",
        identity=cifar.identity("c58f30108f718f92721af3b95e74349a"),
        shape=Shape(channels=3, image_size=32, classes=10, train=50_000, test=10_000),
        read="data.datasets.cifar:read_cifar10",
        version=1,
    ),
    "cifar100": Source(
        title="CIFAR-100",
        description="60,000 photographs of 32 x 32 colour pixels in 100 classes; 169 MB download",
        identity=cifar.identity("eb9058c3a382ffc7106e4002c42a8d85"),
        shape=Shape(channels=3, image_size=32, classes=100, train=50_000, test=10_000),
        read="data.datasets.cifar:read_cifar100",
        version=1,
    ),
}


def identity(name: str, home: Path) -> str:
    """Return 32 hex digits that change whenever the dataset's images, names or classes do.

    name: a key of DATASETS, or folder:<path>. home: `Settings.home`. Reads the files of a folder once, and afterwards
    only their sizes and times. DatasetError for a name that is unknown, a folder that is not laid out as it should, or
    code of an added dataset that cannot be read.
    """
    if name.startswith(FOLDER):
        return folder.identity(listing(name), cache_folder(home))
    return _identity(source(name), code.identity)


def reader(name: str, content: str) -> Callable[[Path, Progress], Dataset]:
    """Return the function that reads a dataset of DATASETS.

    content: the identity that it was planned with. DatasetError where this process has loaded other code, or none.
    """
    found = source(name)
    loaded = _identity(found, code.loaded_identity)
    if loaded != content:
        raise DatasetError(
            f"{name} was planned with other code of {found.read} than this process has loaded (content {loaded}, "
            f"planned {content}); bring all hosts to the same code, restart, then launch the study again"
        )
    try:
        function: Callable[[Path, Progress], Dataset] = resolve_name(found.read)
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"{found.read}, which reads {name}, cannot be imported: {error}; correct it") from error
    return function


def load_added() -> None:
    """Import the code of all datasets that are known by it; see `engine.code.load`."""
    code.load((source.read, source.version) for source in DATASETS.values())


def _identity(source: Source, of: Callable[[str, int | None], str | None]) -> str:
    try:
        reads = of(source.read, source.version)
    except code.CodeError as error:
        raise DatasetError(f"{source.title}: {error}") from error
    if reads is None:
        return source.identity
    return hashlib.blake2b(f"{source.identity} {reads}".encode(), digest_size=16).hexdigest()


def absolute(name: str) -> str:
    """Return a dataset's name with a folder's path made absolute; it means the same wherever it is read.

    DatasetError for what can be no path.
    """
    path = name.removeprefix(FOLDER).strip()
    return f"{FOLDER}{_resolved(path)}" if name.startswith(FOLDER) and path else name


def shape(name: str, home: Path) -> Shape:
    """Return size, channels, classes and counts of a dataset without reading it all; errors as for `identity`.

    Of a folder only the first image is looked at; where a colour image follows a grey one, `data.datasets.loading.load`
    gives 3 channels.
    """
    if not name.startswith(FOLDER):
        return source(name).shape
    # It reads tensors, which no other dataset's shape needs.
    from data.datasets import cache

    cached = cache.load(cached_file(name, identity(name, home), home))
    if cached is None:
        return folder.shape(listing(name))
    counts = (len(cached.classes), len(cached.train_labels), len(cached.test_labels))
    return Shape(cached.channels, cached.image_size, *counts)


def source(name: str) -> Source:
    """Return a dataset that has a name; DatasetError for an unknown one."""
    if name not in DATASETS:
        raise DatasetError(f"{name!r} is not a known dataset; allowed: {', '.join(DATASETS)}, folder:<path>")
    return DATASETS[name]


def is_bundled(name: str) -> bool:
    """Return whether a dataset is there on every host; DatasetError for an unknown name."""
    return not name.startswith(FOLDER) and source(name).bundled


def listing(name: str) -> folder.Listing:
    """Return the images of folder:<path>; DatasetError where it is not laid out as it should."""
    path = name.removeprefix(FOLDER).strip()
    if not path:
        raise DatasetError(f"{name!r} names no folder; give a path, such as folder:/data/flowers")
    return folder.listing(_resolved(path))


def _resolved(path: str) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"{path[:200]!r} is no path of a folder: {error}; give one such as /data/flowers") from error


def cache_folder(home: Path) -> Path:
    """Return the folder of what was downloaded or made ready."""
    return home / "datasets"


def cached_file(name: str, content: str, home: Path) -> Path:
    """Return the file that a dataset is cached in; content: its identity, DatasetError where it is none."""
    if not FINGERPRINT.fullmatch(content):
        raise DatasetError(f"{content!r} is no hash of images; allowed: 32 hex digits in small letters")
    kind = "folder" if name.startswith(FOLDER) else name
    return cache_folder(home) / f"{kind}-{content}.safetensors"
