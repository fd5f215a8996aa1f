"""Hostile dataset folders are refused with a message, without waiting and without unpacking."""

import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from data.datasets import folder, images
from data.datasets.check import check
from data.datasets.loading import load
from data.datasets.registry import DatasetError, absolute, identity, shape
from tests.data.datasets.test_folder import made_folder


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG file whose header states a size, whatever its data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc",
        "/etc",
        "/dev",
        "/proc/self",
        "/dev/zero",
        "/",
        "\0",
        "a\0b",
        "x" * 5_000,
        "/" + "a/" * 2_000,
        "~nobody-at-all/x",
        "\ud800",
        "; touch trap",
        "$(touch trap)",
        "%2e%2e%2f",
        "file:///etc",
        "s3://bucket",
        "'; DROP TABLE studies; --",
    ],
    ids=ascii,
)
def test_a_path_that_holds_no_dataset_is_refused(tmp_path: Path, path: str) -> None:
    for function in (identity, shape, load):
        with pytest.raises(DatasetError) as refused:
            function(f"folder:{path}", tmp_path)
        assert len(str(refused.value)) < 7_000
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_made_absolute(tmp_path: Path) -> None:
    assert absolute("folder:../../etc/..//etc") == f"folder:{Path('../../etc').resolve()}"
    with pytest.raises(DatasetError, match="is no path of a folder"):
        absolute("folder:a\0b")


@pytest.mark.timeout(20)
def test_pipes_devices_and_loops_are_not_waited_for(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    odd = root / "train" / "cat" / "odd.png"
    os.mkfifo(odd)
    with pytest.raises(DatasetError, match=r"odd\.png is a pipe, a device or the like; remove it"):
        identity(f"folder:{root}", tmp_path)
    odd.unlink()
    odd.symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match="is a pipe, a device or the like"):
        identity(f"folder:{root}", tmp_path)
    odd.unlink()
    odd.symlink_to("/nowhere/at/all.png")
    with pytest.raises(DatasetError, match=r"odd\.png cannot be looked at: No such file"):
        identity(f"folder:{root}", tmp_path)
    odd.unlink()
    (root / "train" / "cat" / "again").symlink_to(root / "train", target_is_directory=True)
    with pytest.raises(DatasetError, match="does a link lead back"):
        identity(f"folder:{root}", tmp_path)


def test_a_link_to_a_file_that_is_no_image_reveals_nothing_of_it(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of this machine's")
    (root / "train" / "cat" / "a.png").symlink_to(secret)
    for function in (check, load):
        with pytest.raises(DatasetError, match=r"a\.png is no image of the formats") as refused:
            function(f"folder:{root}", tmp_path)
        assert "a secret" not in str(refused.value)


@pytest.mark.parametrize("size", [(100_000, 100_000), (30_000, 30_000), (12_000, 12_000), (2_000, 2_000)])
def test_an_image_that_would_unpack_to_gigabytes_is_refused_by_its_header(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    root = made_folder(tmp_path / "set")
    (root / "train" / "cat" / "0.png").write_bytes(png(*size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert shape(f"folder:{root}", tmp_path).image_size == 6
    for function in (load, check):
        with pytest.raises(DatasetError, match=r"pixels across|exceeds limit"):
            function(f"folder:{root}", tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    # Images are checked in another process, which says how much memory it had at most.
    tell = "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    command = f"import sys; from data.datasets import images; sys.argv = ['', {str(root)!r}]; images.main(); {tell}"
    told = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True, timeout=60)
    assert int(told.stdout.split()[-1]) < 200_000


def test_more_images_than_memory_are_refused_before_any_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made_folder(tmp_path / "set")
    monkeypatch.setattr(images, "MEMORY_SHARE", 1e-12)
    with pytest.raises(DatasetError, match=r"10 images of 6 x 6 take 0\.0 GiB, and this machine has"):
        load(f"folder:{root}", tmp_path)


def test_no_program_is_started_for_an_image(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    postscript = tmp_path / "page.eps"
    Image.new("RGB", (6, 6)).save(postscript)
    # Pillow detects the format by content, and would start Ghostscript for this one.
    shutil.copy(postscript, root / "train" / "cat" / "0.png")
    for function in (check, load):
        with pytest.raises(DatasetError, match=r"0\.png is no image of the formats BMP, JPEG, PNG, PPM, TIFF, WEBP"):
            function(f"folder:{root}", tmp_path)


def test_too_many_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "CLASSES", 50)
    for split in ("train", "test"):
        for number in range(folder.CLASSES + 1):
            (tmp_path / "set" / split / str(number)).mkdir(parents=True)
    with pytest.raises(DatasetError, match="51 classes; allowed: 2 to 50"):
        identity(f"folder:{tmp_path / 'set'}", tmp_path)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    with (root / "train" / "cat" / "large.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DatasetError, match="bytes; allowed: 67,108,864"):
        identity(f"folder:{root}", tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", png(6, 6, b"x" * 9), b"BM" + b"\xff" * 60, b"II*\0" * 20]
)
def test_unreadable_images_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    root = made_folder(tmp_path / "set")
    names = [f"train/cat/bad.{suffix}" for suffix in ("bmp", "jpg", "png", "ppm", "tif", "webp")]
    for name in names:
        (root / name).write_bytes(content)
    with pytest.raises(DatasetError) as refused:
        load(f"folder:{root}", tmp_path)
    head, *lines = str(refused.value).splitlines()
    assert head.startswith("6 of the 16 images in ")
    for name, line in zip(names, lines, strict=True):
        assert re.match(rf"{name} (is empty|is no image of the formats|cannot be read: )", line)
