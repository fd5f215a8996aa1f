"""CIFAR-10 and CIFAR-100 by torchvision, from small archives of the official layout."""

import gzip
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

from data.datasets import cifar, download
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
    site.content = b"<!DOCTYPE html><title>Log in to the network</title>"
    with pytest.raises(DatasetError, match=rf"^cannot download .*: what it sends is an HTML page.*{source.tgz_md5}"):
        load(name, tmp_path)
    assert [file.suffix for file in (tmp_path / "datasets").iterdir()] == [".lock"]


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
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(source, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/archive.tar.gz")
        with pytest.raises(DatasetError, match="timed out"):
            load(name, tmp_path)


@pytest.fixture
def offline(small: tuple[Any, Site, np.ndarray, list[int]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A torchvision class with the address of a server that does not answer."""
    source, site, _, _ = small
    site.close()
    monkeypatch.setattr(source, "url", site.url)
    return source


DAMAGES = {
    "cut": (lambda whole: whole[:100], "it has 100 bytes in place of "),
    "empty": (lambda whole: b"", "it is empty"),
    "HTML": (lambda whole: b"\n<html><body>Please log in</body></html>", "it is an HTML page"),
    "one wrong byte": (lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), "it has the MD5 "),
    "unzipped": (gzip.decompress, "it is a tar archive without gzip, so it was unpacked already"),
    "zip": (lambda whole: b"PK\x03\x04" + whole, "it is no gzip archive"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_archive_in_its_place_is_named_as_damaged_and_left_there(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path, offline: Any, how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    content = small[1].content
    monkeypatch.setitem(cifar.SIZES, offline.filename, len(content))
    archive = tmp_path / "datasets" / offline.filename
    archive.parent.mkdir()
    spoil, what = DAMAGES[how]
    archive.write_bytes(spoil(content))
    with pytest.raises(DatasetError) as refused:
        load(name, tmp_path)
    text = str(refused.value)
    assert text.startswith(f"{archive} is damaged: {what}")
    assert f"an intact one cannot be downloaded from {offline.url}: [Errno 111] Connection refused" in text
    assert f"Put an intact {offline.filename} (md5 {offline.tgz_md5}) in its place" in text
    assert archive.read_bytes() == spoil(content)
    assert [file.name for file in archive.parent.iterdir() if file.suffix != ".lock"] == [archive.name]


def test_a_folder_in_place_of_the_archive_is_named(name: str, offline: Any, tmp_path: Path) -> None:
    (tmp_path / "datasets" / offline.filename).mkdir(parents=True)
    with pytest.raises(DatasetError, match=rf"{offline.filename} is a folder, where an archive belongs; remove it"):
        load(name, tmp_path)


def test_damaged_unpacked_files_are_named_or_unpacked_anew(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path, offline: Any
) -> None:
    _, site, _, labels = small
    folder = tmp_path / "datasets"
    archive, base = folder / offline.filename, folder / offline.base_folder
    folder.mkdir()
    archive.write_bytes(site.content)
    load(name, tmp_path)
    batch, meta = base / offline.train_list[0][0], base / offline.meta["filename"]
    for file in folder.glob("*.safetensors"):
        file.unlink()
    # Unpacked files are enough.
    archive.rename(tmp_path / "archive")
    assert load(name, tmp_path).train_labels.tolist() == labels
    batch.write_bytes(batch.read_bytes()[:-1])
    meta.unlink()
    for file in folder.glob("*.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(DatasetError) as refused:
        load(name, tmp_path)
    text = str(refused.value)
    assert rf"{base} is damaged: {batch.name} has the MD5 " in text
    assert f"{meta.name} is missing; unpacking it anew from {archive} fails: cannot download {offline.url}" in text
    (tmp_path / "archive").rename(archive)
    assert load(name, tmp_path).train_labels.tolist() == labels


def test_what_lies_there_is_replaced_by_a_whole_download_alone(
    name: str, small: tuple[Any, Site, np.ndarray, list[int]], tmp_path: Path
) -> None:
    source, site, _, labels = small
    archive, whole = tmp_path / "datasets" / source.filename, site.content
    archive.parent.mkdir()
    archive.write_bytes(b"what was there")
    site.content = whole[: len(whole) // 2]
    with pytest.raises(DatasetError, match=r"is damaged: it is no gzip archive; .*: what it sends has "):
        load(name, tmp_path)
    assert archive.read_bytes() == b"what was there"
    site.content = whole
    reports: list[tuple[str, int, int]] = []
    assert load(name, tmp_path, lambda *progress: reports.append(progress)).train_labels.tolist() == labels
    assert archive.read_bytes() == whole
    assert reports[0][0] == f"downloading {source.filename}"
    assert not list(archive.parent.glob("*.part"))


def test_the_official_address_and_checksum_are_those_of_torchvision(name: str) -> None:
    source = getattr(torchvision().datasets, name.upper())
    assert DATASETS[name].identity == cifar.identity(source.tgz_md5)
    assert source.url.startswith("https://www.cs.toronto.edu/~kriz/cifar-")
    assert source.filename in cifar.SIZES
