"""Datasets of the Hugging Face Hub, read by its package from a folder on this machine."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets import hub
from data.datasets.loading import load
from data.datasets.registry import DatasetError, identity, must_be_fetched, shape
from engine.dataset import Shape
from tests.data.datasets.test_folder import made_folder

INSTALLED = find_spec("datasets") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="the package datasets is not installed; it is no dependency")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder lab/shapes with images by class, which the package takes for a dataset of that name."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return made_folder(tmp_path / "lab" / "shapes")


@needs_package
def test_a_dataset_is_fetched_once_and_known_by_its_content(lab: Path, tmp_path: Path) -> None:
    name = "hf:lab/shapes"
    with pytest.raises(
        hub.NotFetched, match="not on this machine yet; download it with: ticketscope fetch hf:lab/shapes"
    ):
        identity(name, tmp_path)
    assert must_be_fetched(name, tmp_path)
    reports: list[tuple[str, int, int]] = []
    dataset = load(name, tmp_path, lambda *report: reports.append(report))
    assert reports[-1] == (f"reading {name}", 10, 10)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(lab / "train" / "dog" / "1.png") as image:
        assert np.array_equal(dataset.train_images[4].numpy(), np.asarray(image))
    assert shape(name, tmp_path) == Shape(3, 6, 2, 6, 4)
    assert not must_be_fetched(name, tmp_path)
    known = identity(name, tmp_path)
    for file in (tmp_path / "datasets").glob("*.safetensors"):
        file.unlink()
    assert load(name, tmp_path).test_labels.tolist() == dataset.test_labels.tolist()
    assert identity(name, tmp_path) == known


@needs_package
def test_images_that_cannot_be_trained_on_are_refused_in_words(lab: Path, tmp_path: Path) -> None:
    Image.new("RGB", (6, 7)).save(lab / "test" / "dog" / "1.png")
    with pytest.raises(
        DatasetError, match="image 3 of test of hf:lab/shapes is 6 x 7; only square images are trained on"
    ):
        load("hf:lab/shapes", tmp_path)
    with pytest.raises(DatasetError, match="hf:lab/nowhere cannot be downloaded: "):
        load("hf:lab/nowhere", tmp_path)


@pytest.mark.skipif(INSTALLED, reason="the package datasets is installed")
def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"needs the package datasets of Hugging Face; .* -m pip install datasets"):
        load("hf:ylecun/mnist", tmp_path)


@pytest.mark.parametrize("name", ["hf:", "hf:/etc", "hf:../x", "hf:a/b/c", "hf:a b", "hf:a/b:"])
def test_a_name_that_the_hub_cannot_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is no dataset of the hub; write hf:<owner>/<name>"):
        identity(name, tmp_path)
