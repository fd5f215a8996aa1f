import gzip
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.datasets import digits as bundled
from data.datasets import registry
from data.datasets.loading import load, load_images
from data.datasets.registry import DATASETS, DatasetError, absolute, identity, shape
from data.datasets.source import Source
from engine.code import CodeError
from engine.dataset import Shape
from engine.study.plan import Images


def digits(train: int | None = None, test: int | None = None, content: str | None = None) -> Images:
    return Images(name="digits", identity=content or DATASETS["digits"].identity, train=train, test=test)


def test_digits_have_the_registered_shape_and_are_the_same_each_time(tmp_path: Path) -> None:
    first, again = load("digits", tmp_path), load("digits", tmp_path)
    assert (tmp_path / "datasets" / f"digits-{identity('digits', tmp_path)}.safetensors").exists()
    assert shape("digits", tmp_path) == DATASETS["digits"].shape
    sizes = DATASETS["digits"].shape
    assert first.train_images.shape == (sizes.train, 8, 8, 1)
    assert first.test_images.shape == (sizes.test, 8, 8, 1)
    assert (int(first.train_images.min()), int(first.train_images.max())) == (0, 255)
    assert first.classes == tuple("0123456789")
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.test_labels, again.test_labels)
    # The test images hold every class about equally often.
    assert int(first.test_labels.bincount().min()) >= 30


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"<html>"), gzip.compress(b"1,2,3\n"), gzip.compress(b"1," * 65)[:-9]],
    ids=["empty", "not zipped", "a page", "another shape", "cut"],
)
def test_a_damaged_file_of_the_digits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    file = tmp_path / "digits.csv.gz"
    file.write_bytes(content)
    monkeypatch.setattr(bundled, "_file", lambda: file)
    with pytest.raises(DatasetError, match=rf"{file} is damaged.*|includes other digits"):
        load("digits", tmp_path / "home")


def test_identities_of_bundled_datasets_differ_and_need_no_file(tmp_path: Path) -> None:
    identities = {identity(name, tmp_path) for name in DATASETS}
    assert len(identities) == len(DATASETS)
    assert all(len(text) == 32 and int(text, 16) >= 0 for text in identities)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [1, 7, 10, 305, 1000, 1437])
def test_a_limit_takes_the_first_images_of_each_class_evenly_and_in_order(tmp_path: Path, limit: int) -> None:
    whole = load("digits", tmp_path)
    some = load_images(digits(train=limit), tmp_path)
    assert len(some.train_labels) == len(some.train_images) == limit
    assert torch.equal(some.test_images, whole.test_images)
    counts = some.train_labels.bincount(minlength=10)
    if limit < 1400:
        assert int(counts.max() - counts.min()) <= 1
        # The remainder goes to the first classes.
        assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    for label, count in enumerate(counts.tolist()):
        of_class = whole.train_images[whole.train_labels == label][:count]
        assert torch.equal(some.train_images[some.train_labels == label], of_class)
    places = [int((whole.train_images == image).flatten(1).all(1).nonzero()[0]) for image in some.train_images[:50]]
    assert places == sorted(places)


def test_a_limit_above_the_smallest_class_takes_more_of_the_others(tmp_path: Path) -> None:
    whole = load("digits", tmp_path)
    sizes = whole.test_labels.bincount()
    nearly = load_images(digits(test=359), tmp_path).test_labels.bincount()
    assert int(nearly.sum()) == 359
    assert bool((nearly <= sizes).all())
    assert int((sizes - nearly).sum()) == 1


def test_the_error_for_a_limit_above_the_dataset_names_its_size(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="train_images of digits is 1438; allowed: 1 to 1437"):
        load_images(digits(train=1438), tmp_path)
    with pytest.raises(DatasetError, match="test_images of digits is 361; allowed: 1 to 360"):
        load_images(digits(test=361), tmp_path)


def test_images_of_a_smaller_limit_are_among_those_of_a_larger_one(tmp_path: Path) -> None:
    sets = []
    for limit in (20, 205, 600):
        images = load_images(digits(train=limit), tmp_path).train_images
        sets.append({image.numpy().tobytes() for image in images})
    assert all(small <= large for small, large in itertools.pairwise(sets))


def test_images_that_changed_since_the_launch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="digits holds other images than when the study was launched"):
        load_images(digits(content="0" * 32), tmp_path)


@pytest.mark.parametrize("name", ["imagenet", "", "Digits", "digits ", "/data", "../digits"])
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    for function in (identity, load, shape):
        with pytest.raises(
            DatasetError, match=r"is not a known dataset; .*llowed: digits, cifar10, .*, folder:<path>, hf:"
        ):
            function(name, tmp_path)


def test_a_folder_is_named_by_its_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("folder:images") == f"folder:{tmp_path / 'images'}"
    assert absolute("folder:/data/images") == "folder:/data/images"
    assert absolute("digits") == "digits"
    assert absolute("folder:") == "folder:"


READER = """
import torch
from engine.dataset import Dataset

LEVEL = {level}

def read(folder, progress):  # {comment}
    images, labels = torch.full((8, 4, 4, 1), LEVEL, dtype=torch.uint8), torch.tensor([0, 1] * 4)
    return Dataset(images, labels, images, labels, ("even", "odd"))
"""


def write_reader(folder: Path, level: int, comment: str = "") -> None:
    (folder / "added_images.py").write_text(READER.format(level=level, comment=comment))


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module of a user's own dataset, which is registered as "added"."""
    write_reader(tmp_path, 1)
    monkeypatch.syspath_prepend(tmp_path)
    shape = Shape(channels=1, image_size=4, classes=2, train=8, test=8)
    source = Source("Added", "made here", "ab" * 16, shape, "added_images:read")
    monkeypatch.setitem(DATASETS, "added", source)
    monkeypatch.delitem(sys.modules, "added_images", raising=False)
    registry.code.loaded_identity.cache_clear()
    return tmp_path


def test_the_identity_of_an_added_dataset_follows_its_code_or_version(
    added: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = identity("added", added)
    assert first != "ab" * 16
    write_reader(added, 1, "only a comment")
    assert identity("added", added) == first
    write_reader(added, 2)
    edited = identity("added", added)
    assert edited != first
    monkeypatch.setitem(DATASETS, "added", replace(DATASETS["added"], version=1))
    assert identity("added", added) == "ab" * 16
    monkeypatch.setitem(DATASETS, "added", replace(DATASETS["added"], version=2))
    assert identity("added", added) not in {"ab" * 16, first, edited}


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        (
            {"channels": 3},
            r"train images of uint8 and shape \(8, 4, 4, 1\), where its entry says uint8 of .* 4, 4, 3\)",
        ),
        ({"image_size": 8}, r"where its entry says uint8 of \(images, 8, 8, 1\)"),
        ({"classes": 3}, r"2 classes and train labels of torch.int64 .* says 3 classes"),
    ],
)
def test_images_that_an_entry_does_not_declare_are_refused(
    added: Path, declared: dict[str, int], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = DATASETS["added"]
    monkeypatch.setitem(DATASETS, "added", replace(entry, shape=replace(entry.shape, **declared)))
    with pytest.raises(DatasetError, match=rf"^added gives .*{error}"):
        load("added", added / "home")


def test_labels_beyond_the_classes_are_refused(added: Path) -> None:
    write_reader(added, 1)
    (added / "added_images.py").write_text((added / "added_images.py").read_text().replace("[0, 1]", "[0, 2]"))
    with pytest.raises(DatasetError, match="added gives train labels from 0 to 2, where its entry says 0 to 1"):
        load("added", added / "home")


def test_an_edited_reader_needs_a_new_process(added: Path) -> None:
    home = added / "home"
    registry.load_added()
    assert int(load("added", home).train_images.max()) == 1
    planned = Images(name="added", identity=identity("added", home))
    write_reader(added, 2)
    with pytest.raises(DatasetError, match=r"other code of added_images:read than this process has loaded .* restart"):
        load("added", home)
    with pytest.raises(DatasetError, match="or other code reads them"):
        load_images(planned, home)
    # A process that starts after the edit loads the new code.
    del sys.modules["added_images"]
    registry.code.loaded_identity.cache_clear()
    assert int(load("added", home).train_images.max()) == 2


@pytest.mark.parametrize("where", ["added_images:gone", "nowhere:read"])
def test_a_missing_reader_is_refused(added: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    for version in (None, 1):
        monkeypatch.setitem(DATASETS, "added", replace(DATASETS["added"], read=where, version=version))
        with pytest.raises(DatasetError, match=r"correct|write"):
            load("added", added / "home")


@pytest.mark.parametrize("read", ["added_images", ":read", "added_images:"])
def test_a_reader_must_be_written_as_module_and_function(read: str) -> None:
    with pytest.raises(DatasetError, match=r"read of Digits is .*; write module:function"):
        replace(DATASETS["digits"], read=read)


def test_a_reader_may_be_the_function_itself() -> None:
    assert replace(DATASETS["digits"], read=load).read == "data.datasets.loading:load"
    with pytest.raises(CodeError, match="is a lambda, which workers cannot import"):
        replace(DATASETS["digits"], read=lambda folder, progress: None)
    with pytest.raises(CodeError, match="4 is no function with a name"):
        replace(DATASETS["digits"], read=4)


def test_naming_datasets_imports_no_torch() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, data.datasets.registry; sys.exit('torch' in sys.modules)"],
        check=True,
        timeout=60,
    )
