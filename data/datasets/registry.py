"""The table of datasets by name, and the identities and shapes of datasets.

To add one, write a function that returns an `engine.dataset.Dataset` and give it a line in DATASETS.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from data.artifacts.store import FINGERPRINT
from data.datasets import cifar, digits, folder, images
from data.datasets.source import DatasetError, Progress, Source
from engine import code
from engine.dataset import Dataset, Shape
from engine.study.spec import Study

__all__ = ["DATASETS", "FOLDER", "DatasetError", "absolute", "identity", "shape", "with_datasets"]

# The name of a dataset in a folder is this prefix and the folder's path.
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
    only their sizes and times. DatasetError for an unknown name, a folder with another layout, or code of an added
    dataset that cannot be read.
    """
    if name.startswith(FOLDER):
        return folder.identity(listing(name), cache_folder(home))
    return _identity(source(name), code.identity)


def reader(name: str, content: str) -> Callable[[Path, Progress], Dataset]:
    """Return the function that reads a dataset of DATASETS.

    content: the identity that it was planned with. DatasetError if this process has loaded other code, or none.
    """
    entry = source(name)
    loaded = _identity(entry, code.loaded_identity)
    if loaded != content:
        raise DatasetError(
            f"{name} was planned with other code of {entry.read} than this process has loaded (content {loaded}, "
            f"planned {content}); bring all hosts to the same code, restart, then launch the study again"
        )
    try:
        function: Callable[[Path, Progress], Dataset] = resolve_name(entry.read)
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"{entry.read}, which reads {name}, cannot be imported: {error}; correct it") from error
    return function


def load_added() -> None:
    """Import the code of all datasets without a version; see `engine.code.load`."""
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
    """Return a dataset's name, with the absolute path for a folder; DatasetError for an impossible path."""
    path = name.removeprefix(FOLDER).strip()
    return f"{FOLDER}{_resolved(path)}" if name.startswith(FOLDER) and path else name


def with_datasets(study: Study, rename: Callable[[str], str]) -> Study:
    """Return a study with other names of its datasets, also in its parts."""

    def renamed(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(map(rename, names))

    parts = tuple(part.model_copy(update={"datasets": renamed(part.datasets)}) for part in study.parts)
    return study.model_copy(update={"datasets": renamed(study.datasets), "parts": parts})


def shape(name: str, home: Path) -> Shape:
    """Return the shape of a dataset without reading all images; errors as for `identity`.

    Of a folder that is not cached only the first image that can be trained on is read; if it is grey and another is
    not, the channels are wrong: `data.datasets.loading.load` returns 3.
    """
    if not name.startswith(FOLDER):
        return source(name).shape
    # The cache needs PyTorch, which the shapes of other datasets do not.
    from data.datasets import cache

    cached = cache.shape(cached_file(name, identity(name, home), home))
    return images.shape(listing(name)) if cached is None else cached


def source(name: str) -> Source:
    """Return the entry of a dataset in DATASETS; DatasetError for an unknown name."""
    if name not in DATASETS:
        raise DatasetError(f"{name!r} is not a known dataset; allowed: {', '.join(DATASETS)}, folder:<path>")
    return DATASETS[name]


def is_bundled(name: str) -> bool:
    """Return whether every host has a dataset without a download; DatasetError for an unknown name."""
    return not name.startswith(FOLDER) and source(name).bundled


def listing(name: str) -> folder.Listing:
    """Return the images of folder:<path>; DatasetError for another layout."""
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
    """Return the folder of downloaded and cached datasets."""
    return home / "datasets"


def cached_file(name: str, content: str, home: Path) -> Path:
    """Return the file that a dataset is cached in; content: its identity, DatasetError for text that is none."""
    if not FINGERPRINT.fullmatch(content):
        raise DatasetError(f"{content!r} is no hash of images; allowed: 32 hex digits in lower case")
    kind = "folder" if name.startswith(FOLDER) else name
    return cache_folder(home) / f"{kind}-{content}.safetensors"
