"""The layers of networks that users add, inspected in another process and cached by their code."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.dataset import Shape
from engine.registry import NETWORKS, Network
from engine.study.layers import Layer
from engine.study.spec import StudyError
from tasks.studies import anatomy
from tasks.studies.anatomy import CannotBeBuilt
from tasks.studies.planning import plan_study
from tests.machine import tiny_study

CODE = """
from torch import nn


def small(channels, image_size, classes):
    print("built")
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))


def deep(channels, image_size, classes):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.MaxPool2d(16), nn.Flatten(), nn.Linear(4, classes))
"""
DIGITS = Shape(channels=1, image_size=8, classes=10, train=1437, test=360)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module with two added networks, which this process and its children can import."""
    file = tmp_path / "added_for_anatomy.py"
    file.write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("small", "deep"):
        monkeypatch.setitem(NETWORKS, name, Network(name, f"added_for_anatomy:{name}"))
    anatomy.inspected.cache_clear()
    yield file
    sys.modules.pop("added_for_anatomy", None)


def test_an_added_network_is_inspected_once_for_each_code_and_shape(added: Path, home: Path) -> None:
    first = anatomy.anatomy("small", DIGITS, home)
    assert first is not None
    assert first.layers == (Layer("1.weight", 512, 8), Layer("3.weight", 80, 10))
    assert first.norm_pixels == 1
    [cached] = (home / "networks").iterdir()
    values = json.loads(cached.read_text())
    values["layers"][0]["size"] = 7
    cached.write_text(json.dumps(values))
    again = anatomy.anatomy("small", DIGITS, home)
    assert again is not None
    assert again.layers[0].size == 7
    cached.write_text("{")
    assert anatomy.anatomy("small", DIGITS, home) == first
    added.write_text(CODE.replace("8), nn.BatchNorm1d(8), nn.Linear(8", "9), nn.BatchNorm1d(9), nn.Linear(9"))
    changed = anatomy.anatomy("small", DIGITS, home)
    assert changed is not None
    assert changed.layers[0].size == 576


def test_images_too_small_for_a_network_are_refused_with_the_error_of_pytorch(added: Path, home: Path) -> None:
    with pytest.raises(CannotBeBuilt, match="too small"):
        anatomy.anatomy("deep", DIGITS, home)
    with pytest.raises(StudyError) as refused:
        plan_study(tiny_study(networks=["deep", "small"], sparsities=[0.5, 0.999]), home)
    assert "deep cannot be built for digits, 8 x 8 pixels" in refused.value.fields["networks"]
    # The other network is checked too.
    assert "3.weight (80)" in refused.value.fields["sparsities"]


def test_a_network_that_takes_too_long_to_inspect_has_no_anatomy(
    added: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anatomy, "SECONDS", 0.01)
    assert anatomy.anatomy("small", DIGITS, home) is None
    assert not (home / "networks").exists()
