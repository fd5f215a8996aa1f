"""All images of a folder that cannot be trained on are found before a launch, and found once."""

import json
import os
import sys
import threading
from pathlib import Path

import psutil
import pytest
from PIL import Image

from data.datasets import check as checking
from data.datasets.check import check, is_checked, refuse_known
from data.datasets.loading import load
from data.datasets.registry import DatasetError, identity
from tests.data.datasets.test_folder import made_folder
from tests.machine import functions, wait_for


def spoil(root: Path) -> list[str]:
    """Damage six of the ten images of a folder, each in another way, and return what is said of them."""
    cat, dog, test = root / "train" / "cat", root / "train" / "dog", root / "test" / "dog"
    (cat / "0.png").write_bytes(b"")
    (cat / "1.png").write_text("<html>not here</html>")
    (cat / "2.png").write_bytes((cat / "2.png").read_bytes()[:60])
    Image.new("RGB", (8, 8)).save(dog / "0.png")
    Image.new("RGB", (6, 9)).save(dog / "1.png")
    Image.new("I;16", (6, 6)).save(test / "0.png")
    return [
        "train/cat/0.png is empty",
        "train/cat/1.png is no image of the formats BMP, JPEG, PNG, PPM, TIFF, WEBP",
        "train/cat/2.png cannot be read: image file is truncated",
        "train/dog/0.png is 8 x 8, others are 6 x 6; bring all images of a dataset to one size",
        "train/dog/1.png is 6 x 9; only square images are trained on",
        "test/dog/0.png has more than 8 bits per channel (mode I;16); convert it to 8 bits",
    ]


def refusal(name: str, home: Path) -> list[str]:
    with pytest.raises(DatasetError) as refused:
        check(name, home)
    assert refused.value.lasting
    return str(refused.value).splitlines()


def test_all_faulty_images_are_listed_each_with_its_reason(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    name, faults = f"folder:{root}", spoil(root)
    head = f"6 of the 10 images in {root} cannot be trained on; replace or remove them:"
    assert refusal(name, tmp_path) == [head, *faults]
    # Reading them to train says the same, also where they were never checked.
    for home in (tmp_path, tmp_path / "another home"):
        with pytest.raises(DatasetError) as refused:
            load(name, home)
        assert str(refused.value).splitlines() == [head, *faults]
        assert refused.value.lasting


def test_the_size_of_most_images_counts_and_not_that_of_the_first(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    Image.new("RGB", (8, 8)).save(root / "train" / "cat" / "0.png")
    assert refusal(f"folder:{root}", tmp_path) == [
        f"{root}/train/cat/0.png is 8 x 8, others are 6 x 6; bring all images of a dataset to one size; "
        "replace or remove it"
    ]


def test_the_message_is_bounded_and_names_can_be_printed(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    for number in range(50):
        (root / "train" / "cat" / os.fsdecode(b"a%02d\n\xff\x1b[2J.png" % number)).touch()
    lines = refusal(f"folder:{root}", tmp_path)
    assert lines[0].startswith("50 of the 60 images in ")
    assert lines[1] == r"train/cat/a00\n\udcff\x1b[2J.png is empty"
    assert (len(lines), lines[-1]) == (22, "and 30 more")


def test_a_check_is_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made_folder(tmp_path / "set")
    name = f"folder:{root}"
    reports: list[tuple[str, int, int]] = []

    def checked() -> bool:
        reports.clear()
        check(name, tmp_path, lambda *progress: reports.append(progress))
        return bool(reports)

    assert not is_checked(name, identity(name, tmp_path), tmp_path)
    assert checked()
    assert reports == [(f"checking the images in {root}", 10, 10)]
    assert is_checked(name, identity(name, tmp_path), tmp_path)
    assert not checked()
    # Other times of the same content change nothing; other content does.
    os.utime(root / "train" / "cat" / "0.png")
    assert not checked()
    Image.new("RGB", (6, 6)).save(root / "train" / "cat" / "0.png")
    assert checked()
    (root / "train" / "cat" / "0.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"0\.png is empty"):
            check(name, tmp_path)
    content = identity(name, tmp_path)
    with pytest.raises(DatasetError, match=r"0\.png is empty"):
        refuse_known(name, content, tmp_path)
    (root / "train" / "cat" / "0.png").unlink()
    refuse_known(name, identity(name, tmp_path), tmp_path)
    assert checked()
    # Another version of Pillow may read other images, and what is damaged counts for nothing.
    [record] = (tmp_path / "datasets").glob(f"checked-{identity(name, tmp_path)}.json")
    for damaged in (b"", b"[]", b"{}", json.dumps({"rules": checking.RULES}).encode(), b"\xff"):
        record.write_bytes(damaged)
        assert not is_checked(name, identity(name, tmp_path), tmp_path)
    assert checked()
    assert is_checked(name, identity(name, tmp_path), tmp_path)
    monkeypatch.setattr(checking, "RULES", "others")
    assert not is_checked(name, identity(name, tmp_path), tmp_path)
    assert checked()


def test_cached_images_and_other_datasets_are_not_checked(tmp_path: Path) -> None:
    name = f"folder:{made_folder(tmp_path / 'set')}"
    load(name, tmp_path)
    for dataset in (name, "digits", "cifar10"):
        assert is_checked(dataset, identity(dataset, tmp_path), tmp_path)
        check(dataset, tmp_path, lambda *progress: pytest.fail(f"reads {progress}"))


def test_a_process_that_dies_while_checking_ends_in_an_error_and_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"folder:{made_folder(tmp_path / 'set')}"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(DatasetError, match=r"check of the images in .*set ended with code 1 .*try again") as error:
            check(name, tmp_path)
    assert not error.value.lasting
    check(name, tmp_path)


def test_an_interrupted_check_leaves_no_process(tmp_path: Path) -> None:
    name = f"folder:{made_folder(tmp_path / 'set')}"

    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(name, tmp_path, interrupt)
    assert not [child for child in psutil.Process().children() if "data.datasets.images" in " ".join(child.cmdline())]


def test_a_folder_that_changes_before_it_is_checked_is_refused(tmp_path: Path) -> None:
    root = made_folder(tmp_path / "set")
    name = f"folder:{root}"
    content, outcome = identity(name, tmp_path), list[str]()

    def run() -> None:
        try:
            check(name, tmp_path)
        except DatasetError as error:
            outcome.append(str(error))

    # Another check of the same images keeps this one waiting, after it has listed them.
    with checking.FileLock(tmp_path / "datasets" / f"checked-{content}.lock"):
        waiting = threading.Thread(target=run)
        waiting.start()
        wait_for(lambda: "acquire" in functions(waiting))
        (root / "train" / "cat" / "0.png").unlink()
    waiting.join(60)
    assert outcome == [f"{root} was changed while it was read; try again when nobody changes it"]
