"""CIFAR-10 and CIFAR-100 by torchvision, from small archives of the official layout."""

import hashlib
import http.server
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.datasets import cifar
from data.datasets.loading import load
from data.datasets.registry import DATASETS, DatasetError
from engine.models.torchvision_compat import torchvision

PER_BATCH = 4


def made_archive(source: Any) -> tuple[bytes, dict[str, bytes], np.ndarray, list[int]]:
    """Return an archive like that of a torchvision class, its files, and the pixels and labels to train on."""
    draw = np.random.default_rng(1)
    fine = source.__name__ == "CIFAR100"
    classes = [f"class {i}" for i in range(100 if fine else 10)]
    files, pixels, labels = {}, [], []
    for name, _ in source.train_list + source.test_list:
        data = draw.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
        targets = draw.integers(0, len(classes), PER_BATCH).tolist()
        files[name] = pickle.dumps({"data": data, "fine_labels" if fine else "labels": targets}, protocol=2)
        if [name, _] in source.train_list:
            pixels.append(data)
            labels += targets
    files[source.meta["filename"]] = pickle.dumps({source.meta["key"]: classes}, protocol=2)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{source.base_folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue(), files, np.concatenate(pixels), labels


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Site:
    """Serves one archive on the loopback and counts the requests for it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.requests = 0
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()

            def do_GET(self) -> None:
                site.requests += 1
                self.do_HEAD()
                self.wfile.write(site.content)

            def log_message(self, *words: object) -> None:
                del words

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/archive.tar.gz"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=["cifar10", "cifar100"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Site, np.ndarray, list[int]]]:
    """A torchvision class whose address and checksums are those of a small archive on the loopback."""
    source = getattr(torchvision().datasets, name.upper())
    content, files, pixels, labels = made_archive(source)
    site = Site(content)
    monkeypatch.setattr(source, "url", site.url)
    monkeypatch.setattr(source, "tgz_md5", md5(content))
    # CIFAR100 inherits from CIFAR10, but has lists of its own.
    monkeypatch.setattr(source, "train_list", [[file, md5(files[file])] for file, _ in source.train_list])
    monkeypatch.setattr(source, "test_list", [[file, md5(files[file])] for file, _ in source.test_list])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5(files[source.meta["filename"]])})
    yield source, site, pixels, labels
    site.close()


def test_the_archive_is_downloaded_once_and_read_as_images(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path
) -> None:
    _, site, pixels, labels = small
    dataset = load(name, tmp_path)
    assert dataset.train_images.shape == (len(labels), 32, 32, 3)
    assert dataset.test_images.shape == (PER_BATCH, 32, 32, 3)
    assert len(dataset.classes) == DATASETS[name].shape.classes
    # The file holds all red values of an image, then all green and all blue ones.
    expected = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert (dataset.train_images.numpy() == expected).all()
    assert dataset.train_labels.tolist() == labels
    requests = site.requests
    assert requests > 0
    assert load(name, tmp_path).train_labels.tolist() == labels
    assert site.requests == requests


def test_an_archive_put_in_place_needs_no_network(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path
) -> None:
    source, site, _, labels = small
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / source.filename).write_bytes(site.content)
    assert load(name, tmp_path).train_labels.tolist() == labels
    assert site.requests == 0


def test_a_half_downloaded_archive_is_downloaded_again(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path
) -> None:
    source, site, _, labels = small
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / source.filename).write_bytes(site.content[:100])
    assert load(name, tmp_path).train_labels.tolist() == labels
    assert site.requests > 0


def test_a_download_with_a_wrong_checksum_is_refused(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path
) -> None:
    source, site, _, _ = small
    site.content = site.content[:-1] + b"?"
    with pytest.raises(DatasetError, match=f"corrupted.*md5 {source.tgz_md5}"):
        load(name, tmp_path)
    assert not list((tmp_path / "datasets").glob("*.safetensors"))


def test_without_network_the_error_says_which_file_to_put_where(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, _, _ = small
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(source, "url", f"http://127.0.0.1:{closed.getsockname()[1]}/archive.tar.gz")
        with pytest.raises(DatasetError, match="cannot download http://127") as error:
            load(name, tmp_path)
    assert f"get {source.filename} (md5 {source.tgz_md5})" in str(error.value)
    assert f"put it at {tmp_path / 'datasets' / source.filename}" in str(error.value)
    assert socket.getdefaulttimeout() is None


def test_a_server_that_never_answers_ends_in_a_timeout(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, _, _ = small
    monkeypatch.setattr(cifar, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(source, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/archive.tar.gz")
        with pytest.raises(DatasetError, match="timed out"):
            load(name, tmp_path)


def test_the_official_address_and_checksum_are_those_of_torchvision(name: str) -> None:
    source = getattr(torchvision().datasets, name.upper())
    assert DATASETS[name].identity == cifar.identity(source.tgz_md5)
    assert source.url.startswith("https://www.cs.toronto.edu/~kriz/cifar-")
    assert source.filename in cifar.SIZES
