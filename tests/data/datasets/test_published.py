"""SVHN, Fashion-MNIST and Tiny ImageNet, from small files of the official formats on the loopback."""

import gzip
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data.datasets import published
from data.datasets.download import Archive
from data.datasets.loading import load
from data.datasets.registry import DATASETS, DatasetError, identity, shape
from engine.models.torchvision_compat import torchvision

Files = dict[str, bytes]
Array = np.ndarray[Any, np.dtype[Any]]
DRAW = np.random.default_rng(0)


def svhn() -> tuple[Files, Array, list[int]]:
    """Return files of 3 and 2 digits, the pixels to train on and their labels; the digit 0 is ten in the files."""
    files: Files = {}
    pixels = {"train": DRAW.integers(0, 256, (3, 32, 32, 3), np.uint8), "test": np.zeros((2, 32, 32, 3), np.uint8)}
    for split, images in pixels.items():
        out = io.BytesIO()
        labels = np.array([[10], [3], [7]][: len(images)], np.uint8)
        savemat(out, {"X": images.transpose(1, 2, 3, 0), "y": labels})
        files[split] = out.getvalue()
    return files, pixels["train"], [0, 3, 7]


def fashion_mnist() -> tuple[Files, Array, list[int]]:
    """Return files of 3 and 2 clothes, the pixels to train on and their labels."""
    files: Files = {}
    pixels = {"train": DRAW.integers(0, 256, (3, 28, 28), np.uint8), "t10k": np.zeros((2, 28, 28), np.uint8)}
    for split, images in pixels.items():
        labels = bytes([9, 0, 4][: len(images)])
        head = b"".join(number.to_bytes(4, "big") for number in (0x803, len(images), 28, 28))
        files[f"{split}-images-idx3"] = gzip.compress(head + images.tobytes())
        files[f"{split}-labels-idx1"] = gzip.compress(
            b"".join(n.to_bytes(4, "big") for n in (0x801, len(images))) + labels
        )
    return files, pixels["train"][..., None], [9, 0, 4]


def tiny_imagenet() -> tuple[Files, Array, list[int]]:
    """Return an archive of 4 photographs, the pixels to train on and their labels; one photograph is grey."""
    out, pixels = io.BytesIO(), []
    with zipfile.ZipFile(out, "w") as archive:
        base = "tiny-imagenet-200"
        archive.writestr(f"{base}/wnids.txt", "n02\nn01\n")
        names = ["train/n01/images/n01_0", "train/n02/images/n02_0", "val/images/val_0", "val/images/val_1"]
        for number, name in enumerate(names):
            image = Image.new("L" if number == 1 else "RGB", (64, 64), 200 if number == 1 else (10 * number, 90, 30))
            content = io.BytesIO()
            image.save(content, "JPEG")
            archive.writestr(f"{base}/{name}.JPEG", content.getvalue())
            with Image.open(content) as read:
                pixels.append(np.asarray(read.convert("RGB")))
        archive.writestr(
            f"{base}/val/val_annotations.txt", "val_1.JPEG\tn01\t0\t0\t1\t1\nval_0.JPEG\tn02\t0\t0\t1\t1\n"
        )
        archive.writestr(f"{base}/test/images/test_0.JPEG", b"no label")
    return {"all": out.getvalue()}, np.stack(pixels[:2]), [0, 1]


MADE: dict[str, Callable[[], tuple[Files, Array, list[int]]]] = {
    "svhn": svhn,
    "fashion_mnist": fashion_mnist,
    "tiny_imagenet": tiny_imagenet,
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        del words


@pytest.fixture(params=MADE)
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path, Array, list[int]]]:
    """A dataset whose small files are served on the loopback: its name, their folder, and what is in them."""
    name, folder = str(request.param), tmp_path / "site"
    folder.mkdir()
    files, pixels, labels = MADE[name]()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if name == "tiny_imagenet":
        whole = DATASETS[name]
        monkeypatch.setitem(DATASETS, name, replace(whole, shape=replace(whole.shape, classes=2)))
    archives: dict[str, Archive] = getattr(published, name.upper())
    for part, content in files.items():
        file = archives[part].url.rpartition("/")[2]
        (folder / file).write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}/{file}"
        monkeypatch.setitem(archives, part, replace(archives[part], url=url, md5=md5, size=len(content)))
    yield name, folder, pixels, labels
    server.shutdown()
    server.server_close()


def test_files_are_downloaded_with_a_bar_checked_and_read_once(
    made: tuple[str, Path, Array, list[int]], tmp_path: Path
) -> None:
    name, site, pixels, labels = made
    reports: list[tuple[str, int, int]] = []
    dataset = load(name, tmp_path, lambda *report: reports.append(report))
    assert np.array_equal(dataset.train_images.numpy(), pixels)
    assert dataset.train_labels.tolist() == labels
    assert len(dataset.test_labels) == 2
    expected = shape(name, tmp_path)
    assert (dataset.channels, dataset.image_size) == (expected.channels, expected.image_size)
    assert len(dataset.classes) == expected.classes
    if name == "tiny_imagenet":
        # The order is that of the annotations.
        assert dataset.test_labels.tolist() == [0, 1]
    downloads = {text for text, done, total in reports if text.startswith("downloading ") and done == total}
    assert downloads == {f"downloading {file.name}" for file in site.iterdir()}
    assert any(text.startswith("reading ") for text, _, _ in reports)
    for file in site.iterdir():
        file.unlink()
    assert load(name, tmp_path).train_labels.tolist() == labels


def test_a_damaged_file_is_named_and_one_put_in_place_needs_no_network(
    made: tuple[str, Path, Array, list[int]], tmp_path: Path
) -> None:
    name, site, _, labels = made
    whole = {file.name: file.read_bytes() for file in site.iterdir()}
    for file in site.iterdir():
        file.write_bytes(b"<html>log in</html>")
    with pytest.raises(DatasetError, match="what it sends is an HTML page"):
        load(name, tmp_path)
    folder = tmp_path / "datasets" / ("" if name == "tiny_imagenet" else name)
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(getattr(published, name.upper()).values())).url.rpartition("/")[2]
    (folder / first).write_bytes(b"something else")
    with pytest.raises(DatasetError, match=rf"{first} is damaged: it is no (gzip archive|zip archive|MATLAB file)"):
        load(name, tmp_path)
    for file_name, content in whole.items():
        (folder / file_name).write_bytes(content)
    assert load(name, tmp_path).train_labels.tolist() == labels


def test_addresses_checksums_and_identities_are_the_official_ones(tmp_path: Path) -> None:
    library = torchvision().datasets
    assert {(file.url, file.md5) for file in published.SVHN.values()} == {
        (library.SVHN.split_list[split][0], library.SVHN.split_list[split][2]) for split in ("train", "test")
    }
    [mirror] = library.FashionMNIST.mirrors
    assert {(file.url, file.md5) for file in published.FASHION_MNIST.values()} == {
        (mirror + name, md5) for name, md5 in library.FashionMNIST.resources
    }
    # Results name images by these, so they never change.
    assert {name: identity(name, tmp_path) for name in MADE} == {
        "svhn": "fd950e66c3ba7632668745793bbc6c1b",
        "fashion_mnist": "eea1104ed3bbde2e76acfedd1188c505",
        "tiny_imagenet": "368f3f8e7c8dfa86289cea723cd3ff9a",
    }
    assert sum((DATASETS["tiny_imagenet"].shape.train, DATASETS["tiny_imagenet"].shape.test)) == 110_000
