"""The table of datasets by name, and the identities and shapes of datasets.

docs/extending.md says how to add one.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from data.artifacts.store import FINGERPRINT
from data.datasets import cifar, digits, folder, hub, images, published
from data.datasets.source import DatasetError, Progress, Source
from engine import code
from engine.dataset import Dataset, Shape
from engine.entries import Table
from engine.study.fields import nearest
from engine.study.spec import Study

__all__ = ["DATASETS", "FOLDER", "DatasetError", "absolute", "identity", "shape", "with_datasets"]

# The name of a dataset in a folder is this prefix and the folder's path; that of one of the Hugging Face Hub, this
# prefix and its name there.
FOLDER = "folder:"
HUB = hub.PREFIX

DATASETS: Table[Source] = Table(
    {
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
        "svhn": Source(
            title="SVHN",
            description="99,289 house numbers of 32 x 32 colour pixels in 10 classes; 246 MB download",
            identity=published.identity(published.SVHN.values()),
            shape=Shape(channels=3, image_size=32, classes=10, train=73_257, test=26_032),
            read="data.datasets.published:read_svhn",
            version=1,
        ),
        "fashion_mnist": Source(
            title="Fashion-MNIST",
            description="70,000 clothes of 28 x 28 grey pixels in 10 classes; 31 MB download",
            identity=published.identity(published.FASHION_MNIST.values()),
            shape=Shape(channels=1, image_size=28, classes=10, train=60_000, test=10_000),
            read="data.datasets.published:read_fashion_mnist",
            version=1,
        ),
        "tiny_imagenet": Source(
            title="Tiny ImageNet",
            description="110,000 photographs of 64 x 64 colour pixels in 200 classes; 248 MB download, or as it is "
            "unpacked: folder:<path>",
            identity=published.identity(published.TINY_IMAGENET.values()),
            shape=Shape(channels=3, image_size=64, classes=200, train=100_000, test=10_000),
            read="data.datasets.published:read_tiny_imagenet",
            version=1,
        ),
    }
)


def identity(name: str, home: Path) -> str:
    """Return 32 hex digits that change whenever the dataset's images, names or classes do.

    name: a key of DATASETS, folder:<path> or hf:<name>. home: `Settings.home`. Reads the files of a folder once, and
    afterwards only their sizes and times. DatasetError for an unknown name, a folder with another layout, or code of an
    added dataset that cannot be read; `data.datasets.hub.NotFetched` for one of the hub that is not here yet.
    """
    if name.startswith(FOLDER):
        return folder.identity(listing(name), cache_folder(home))
    if name.startswith(HUB):
        return hub.identity(name, cache_folder(home))
    return dataset_identity(source(name))


def dataset_identity(source: Source) -> str:
    """Return the identity of a named dataset; DatasetError where its code cannot be read."""
    return _identity(source, code.identity)


def must_be_fetched(name: str, home: Path) -> bool:
    """Return whether a dataset must be downloaded before a study of it can be planned; errors as for `identity`."""
    return name.startswith(HUB) and not hub.is_fetched(name, cache_folder(home))


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
    if name.startswith(HUB):
        return hub.shape(name, cache_folder(home))
    if not name.startswith(FOLDER):
        return source(name).shape
    # The cache needs PyTorch, which the shapes of other datasets do not.
    from data.datasets import cache

    cached = cache.shape(cached_file(name, identity(name, home), home))
    return images.shape(listing(name)) if cached is None else cached


def source(name: str) -> Source:
    """Return the entry of a dataset in DATASETS; DatasetError for an unknown name."""
    if name not in DATASETS:
        guess = nearest(name, DATASETS)
        raise DatasetError(
            f"{name[:200]!r} is not a known dataset; {guess}: {', '.join(DATASETS)}, folder:<path>, hf:<name>"
        )
    return DATASETS[name]


def is_bundled(name: str) -> bool:
    """Return whether every host has a dataset without a download; DatasetError for an unknown name."""
    return not name.startswith((FOLDER, HUB)) and source(name).bundled


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
    kind = "folder" if name.startswith(FOLDER) else "hub" if name.startswith(HUB) else name
    return cache_folder(home) / f"{kind}-{content}.safetensors"
