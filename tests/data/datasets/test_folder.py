import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.datasets import registry
from data.datasets.loading import load
from data.datasets.registry import DatasetError, identity, shape


def made_folder(root: Path, mode: str = "RGB", size: int = 6, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write a dataset of random PNGs, 3 to train and 2 to test in each class, and return its folder."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / split / name / f"{number}.png")
    return root


def test_images_are_loaded_unchanged_in_sorted_order(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    dataset = load(f"folder:{root}", tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_images.shape == (6, 6, 6, 3)
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    with Image.open(root / "train" / "dog" / "1.png") as image:
        assert torch.equal(dataset.train_images[4], torch.from_numpy(np.array(image)))
    with Image.open(root / "test" / "cat" / "1.png") as image:
        assert torch.equal(dataset.test_images[1], torch.from_numpy(np.array(image)))


def test_the_second_load_reads_no_image_and_gives_the_same(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    reports: list[tuple[str, int, int]] = []
    first = load(f"folder:{root}", tmp_path, lambda *progress: reports.append(progress))
    assert reports == [(f"reading {root}", 10, 10)]
    reports.clear()
    second = load(f"folder:{root}", tmp_path, lambda *progress: reports.append(progress))
    assert reports == []
    assert torch.equal(first.train_images, second.train_images)
    assert torch.equal(first.test_labels, second.test_labels)
    assert first.classes == second.classes


def test_grey_images_have_one_channel_unless_one_image_has_colour(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set", mode="L")
    grey = load(f"folder:{root}", tmp_path)
    assert grey.channels == 1
    with Image.open(root / "train" / "cat" / "0.png") as image:
        assert torch.equal(grey.train_images[0, :, :, 0], torch.from_numpy(np.array(image)))
    Image.new("RGB", (6, 6), (9, 8, 7)).save(root / "test" / "dog" / "1.png")
    mixed = load(f"folder:{root}", tmp_path)
    assert mixed.channels == 3
    assert torch.equal(mixed.train_images, grey.train_images.expand(-1, -1, -1, 3))
    assert mixed.test_images[-1, 0, 0].tolist() == [9, 8, 7]


def test_the_shape_is_the_same_before_and_after_loading(tmp_path: Path) -> None:
    name = f"folder:{made_folder(tmp_path / 'set')}"
    before = shape(name, tmp_path)
    load(name, tmp_path)
    assert shape(name, tmp_path) == before
    assert (before.channels, before.image_size, before.classes, before.train, before.test) == (3, 6, 2, 6, 4)


def test_identity_depends_on_names_and_bytes_alone(tmp_path: Path) -> None:
    folder, same = made_folder(tmp_path / "one"), made_folder(tmp_path / "same")
    first = identity(f"folder:{folder}", tmp_path)
    assert len(first) == 32
    assert identity(f"folder:{same}", tmp_path) == first
    assert identity(f"folder:{folder}", tmp_path / "another home") == first
    os.utime(folder / "train" / "cat" / "0.png")
    assert identity(f"folder:{folder}", tmp_path) == first
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    assert identity(f"folder:{folder}", tmp_path) == first
    (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "00.png")
    renamed = identity(f"folder:{folder}", tmp_path)
    Image.new("RGB", (6, 6)).save(folder / "train" / "cat" / "1.png")
    assert len({first, renamed, identity(f"folder:{folder}", tmp_path)}) == 3


def test_a_cached_identity_reads_no_file(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    first = identity(f"folder:{root}", tmp_path)
    image = root / "train" / "cat" / "0.png"
    status = image.stat()
    # The new bytes have the same size and time, so that only reading them shows the difference.
    image.write_bytes(bytes(status.st_size))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity(f"folder:{root}", tmp_path) == first
    os.utime(image)
    assert identity(f"folder:{root}", tmp_path) != first


def test_a_damaged_record_of_the_identity_is_written_again(tmp_path: Path) -> None:
    name = f"folder:{made_folder(tmp_path / 'set')}"
    first = identity(name, tmp_path)
    [record] = (tmp_path / "datasets").glob("folder-*.json")
    for damaged in (b"", b"[]", b"{", record.read_bytes()[:-20], b"\xff"):
        record.write_bytes(damaged)
        assert identity(name, tmp_path) == first


def test_all_faulty_files_of_the_layout_are_listed_at_once(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    (root / "train" / "cat" / "lost.png").symlink_to("/nowhere/at/all.png")
    os.mkfifo(root / "test" / "dog" / "pipe.png")
    # The kernel refuses to read what lies at address 0.
    (root / "test" / "cat" / "memory.png").symlink_to("/proc/self/mem")
    with pytest.raises(DatasetError) as refused:
        identity(f"folder:{root}", tmp_path)
    assert str(refused.value).splitlines() == [
        f"2 files or folders in {root} cannot be used; fix or remove them:",
        "train/cat/lost.png cannot be looked at: No such file or directory",
        "test/dog/pipe.png is a pipe, a device or the like; remove it",
    ]
    (root / "train" / "cat" / "lost.png").unlink()
    (root / "test" / "dog" / "pipe.png").unlink()
    with pytest.raises(DatasetError, match=r"set/test/cat/memory\.png cannot be read: Input/output error"):
        identity(f"folder:{root}", tmp_path)


def test_a_faulty_first_image_does_not_prevent_a_plan(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    (root / "train" / "cat" / "0.png").write_bytes(b"")
    assert shape(f"folder:{root}", tmp_path).image_size == 6
    for image in root.glob("*/*/*.png"):
        image.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"^10 images in .*set, its first ones, cannot be trained on"):
        shape(f"folder:{root}", tmp_path)


def broken_layout(root: Path, what: str) -> None:
    first = root / "train" / "cat" / "1.png"
    if what == "no test":
        (root / "test").rename(root / "validation")
    elif what == "empty class":
        for image in (root / "test" / "dog").iterdir():
            image.unlink()
    elif what == "other classes":
        (root / "test" / "dog").rename(root / "test" / "wolf")
    elif what == "no classes":
        (root / "train").rename(root / "moved")
        (root / "train").mkdir()
    elif what == "cut":
        first.write_bytes(first.read_bytes()[:60])
    elif what == "no image":
        first.write_text("hello")
    elif what == "other size":
        Image.new("RGB", (8, 8)).save(first)
    elif what == "not square":
        Image.new("RGB", (6, 8)).save(first)
    elif what == "deep":
        Image.fromarray(np.zeros((6, 6), dtype=np.uint16)).save(first)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no test", "has no folder test; a dataset is a folder with train/<class>/"),
        ("empty class", r"test/dog holds no image; allowed: \.bmp"),
        ("other classes", "classes in only one of train and test: dog, wolf"),
        ("no classes", "train has no class folders"),
        ("cut", r"set/train/cat/1\.png cannot be read: image file is truncated.*; replace or remove it"),
        ("no image", r"set/train/cat/1\.png is no image of the formats BMP, JPEG"),
        ("other size", r"cat/1\.png is 8 x 8, others are 6 x 6; bring all images"),
        ("not square", r"cat/1\.png is 6 x 8; only square images"),
        ("deep", r"cat/1\.png has more than 8 bits per channel"),
    ],
)
def test_the_error_for_an_unusable_folder_states_the_reason(tmp_path: Path, what: str, message: str) -> None:
    root = made_folder(tmp_path / "set")
    broken_layout(root, what)
    with pytest.raises(DatasetError, match=message):
        load(f"folder:{root}", tmp_path)
    assert not list((tmp_path / "datasets").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:", "names no folder; give a path"),
        ("folder:  ", "names no folder; give a path"),
        ("folder:/nowhere/at/all", "no folder at /nowhere/at/all; a dataset is a folder with"),
    ],
)
def test_a_missing_folder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    for function in (identity, load, shape):
        with pytest.raises(DatasetError, match=message):
            function(name, tmp_path)


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set", classes=("cat",))
    with pytest.raises(DatasetError, match="only one class, cat; give 2 or more"):
        identity(f"{registry.FOLDER}{root}", tmp_path)


def tiny_imagenet_folder(root: Path) -> Path:
    """Write a folder in the layout of Tiny ImageNet: 2 images to train on and 1 to test on in each class."""
    for name in ("n01", "n02"):
        (root / "train" / name / "images").mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (6, 6), (9, number, 7)).save(root / "train" / name / "images" / f"{name}_{number}.png")
        (root / "train" / name / f"{name}_boxes.txt").touch()
    (root / "val" / "images").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (6, 6), (1, 2, 100 + number)).save(root / "val" / "images" / f"val_{number}.png")
    (root / "val" / "val_annotations.txt").write_text("val_0.png\tn02\t0\t0\t1\t1\nval_1.png\tn01\t0\t0\t1\t1\n")
    # The images to test on have no labels.
    (root / "test" / "images").mkdir(parents=True)
    Image.new("RGB", (6, 6)).save(root / "test" / "images" / "test_0.png")
    return root


def test_tiny_imagenet_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    root = tiny_imagenet_folder(tmp_path / "tiny-imagenet-200")
    name = f"folder:{root}"
    dataset = load(name, tmp_path)
    assert dataset.classes == ("n01", "n02")
    assert dataset.train_labels.tolist() == [0, 0, 1, 1]
    assert dataset.test_labels.tolist() == [1, 0]
    assert dataset.test_images[:, 0, 0, 2].tolist() == [100, 101]
    assert shape(name, tmp_path) == shape(name, tmp_path / "without cache")
    before = identity(name, tmp_path)
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text("val_0.png\tn01\nval_1.png\tn02\n")
    assert identity(name, tmp_path) != before
    annotations.write_text("val_0.png\tn01\nval_2.png\tn02\n")
    with pytest.raises(DatasetError) as refused:
        load(name, tmp_path)
    assert "val/images/val_1.png is not in val/val_annotations.txt" in str(refused.value)
    assert "val/images/val_2.png is missing, which val/val_annotations.txt lists" in str(refused.value)
    annotations.write_text("val_0.png\tn01\nval_1.png\tn03\n")
    with pytest.raises(DatasetError, match=r"in only one of train and val/val_annotations.txt: n02, n03"):
        load(name, tmp_path)
