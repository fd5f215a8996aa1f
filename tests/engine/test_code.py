import subprocess
import sys
from pathlib import Path

import pytest

from engine import registry
from engine.code import COVERED, CodeError, code_hash, identity, loaded_identity
from engine.registry import NETWORKS, SCORES, STARTS, Network, Score, implementations
from engine.study.plan import Plan, plan
from engine.study.spec import StudyError, parse_study
from tests.imports import graph, modules

ENGINE = Path(registry.__file__).parent

# The present version of each built-in implementation, and the hash of its code at that version.
BUILT_IN = {
    "engine.models.networks:resnet20": (1, "a6b78e62d74770ac"),
    "engine.models.networks:resnet": (1, "f70d1434ddbdc69d"),
    "engine.models.networks:vgg11": (1, "81d7dc582077a80a"),
    "engine.models.networks:vgg": (1, "0f882f31a9552776"),
    "engine.models.networks:mobilenet_v2": (1, "1e6d4d45644c6e5b"),
    "engine.models.networks:lenet300": (1, "69245d5c9ce53426"),
    "engine.models.families:wide_resnet": (1, "c3373fbb883c9be0"),
    "engine.models.families:conv": (1, "80925bf307b19ed1"),
    "engine.models.torchvision_models:build": (1, "8a18b34ea82d03b2"),
    "engine.stages.scores:magnitude": (1, "2ea157795c252f6f"),
    "engine.stages.scores:random": (1, "c6572605b9847ea9"),
    "engine.stages.starts:winning_ticket": (1, "deb60316530ad4e6"),
    "engine.stages.starts:reinit": (1, "5e6ad0a0aa008f39"),
    "engine.stages.starts:rewind": (1, "0be36d0fbf83e342"),
    "engine.stages.starts:finetune": (1, "6d3c2412a6ec637e"),
}


def entries() -> dict[str, int | None]:
    members = [NETWORKS[family.names[0]] for family in NETWORKS.families]
    networks = {network.builder: network.version for network in (*NETWORKS.values(), *members)}
    return networks | {entry.function: entry.version for entry in (*SCORES.values(), *STARTS.values())}


@pytest.mark.parametrize("where", BUILT_IN)
def test_built_in_code_changes_only_with_its_version(where: str) -> None:
    assert (entries()[where], code_hash(where)) == BUILT_IN[where], (
        f"the code of {where} has changed: raise its version if its numbers change, and put the new hash here"
    )


def test_every_implementation_with_a_version_has_a_pinned_hash() -> None:
    assert BUILT_IN.keys() <= entries().keys()
    for where, version in entries().items():
        assert version is None or where in BUILT_IN, (
            f"{where} has a version, so its numbers must not change unnoticed; add to BUILT_IN: "
            f'"{where}": ({version}, "{code_hash(where)}"),'
        )


def test_modules_covered_by_a_version_exist() -> None:
    for module in COVERED:
        assert ENGINE.parent.joinpath(*module.split(".")).with_suffix(".py").exists(), module


@pytest.mark.parametrize(
    "module",
    ["engine.models.networks", "engine.models.families", "engine.stages.scores", "engine.stages.starts"],
)
def test_engine_modules_that_built_in_code_imports_are_covered_by_a_version(module: str) -> None:
    # What these define is part of the hash of code that uses it.
    hashed = {"engine.models.networks", "engine.study.layers"}
    assert graph(modules("engine"))[module] - hashed <= COVERED


BODY = """
import torch
from torch import nn

from blocks import widen

WIDTH = 8


def helper(size):
    return nn.Linear(size, WIDTH)


def unrelated():
    return 1


class Network(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first = helper(size)


def added(channels: int, image_size: int, classes: int) -> nn.Module:
    return widen(Network(channels * image_size**2))
"""
BLOCKS = """
def widen(network):
    return network


def other():
    return 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "added_network.py").write_text(BODY)
    (tmp_path / "blocks.py").write_text(BLOCKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


WHERE = "added_network:added"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("added_network.py", "image_size**2)", "image_size**2 + 0)"),
        ("added_network.py", "WIDTH = 8", "WIDTH = 9"),
        ("added_network.py", "nn.Linear(size, WIDTH)", "nn.Linear(size, 8)"),
        ("added_network.py", "self.first", "self.last"),
        ("added_network.py", "def added(", "@torch.no_grad()\ndef added("),
        ("blocks.py", "return network", "return network.half()"),
    ],
)
def test_an_edit_of_used_code_changes_the_hash(folder: Path, file: str, old: str, new: str) -> None:
    before = code_hash(WHERE)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert code_hash(WHERE) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("added_network.py", "def helper(size):", "# A comment.\ndef helper(size):\n    'A docstring.'\n"),
        ("added_network.py", "class Network(nn.Module):", "class Network(nn.Module):\n    'A docstring.'\n"),
        ("added_network.py", "    return 1", "    return 3"),
        ("added_network.py", "size, WIDTH)", "size,\n        WIDTH,\n    )"),
        ("blocks.py", "return 2", "return 4"),
    ],
)
def test_an_edit_of_comments_layout_or_other_code_does_not_change_the_hash(
    folder: Path, file: str, old: str, new: str
) -> None:
    before = code_hash(WHERE)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert code_hash(WHERE) == before


def test_code_moved_to_another_module_keeps_its_hash(folder: Path) -> None:
    before = code_hash(WHERE)
    (folder / "moved_network.py").write_text((folder / "added_network.py").read_text())
    assert code_hash("moved_network:added") == before


def test_a_process_keeps_the_identity_of_loaded_code(folder: Path) -> None:
    loaded = loaded_identity(WHERE, None)
    assert loaded == identity(WHERE, None)
    (folder / "added_network.py").write_text(BODY.replace("WIDTH = 8", "WIDTH = 7"))
    assert loaded_identity(WHERE, None) == loaded != identity(WHERE, None)


def test_the_error_for_unreadable_code_names_the_reason(folder: Path) -> None:
    with pytest.raises(CodeError, match="there is no module nowhere"):
        code_hash("nowhere:network")
    with pytest.raises(CodeError, match="added_network has no 'missing'"):
        code_hash("added_network:missing")
    with pytest.raises(CodeError, match="write module:name"):
        code_hash("added_network")
    (folder / "added_network.py").write_text("def added(:")
    with pytest.raises(CodeError, match="cannot be read from"):
        code_hash(WHERE)


def planned(**changes: object) -> Plan:
    values = {
        "name": "added",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "learning_rates": [0.1],
        "pruners": ["oneshot"],
        "sparsities": [0.5],
        "starts": ["finetune"],
        "seeds": [0],
    }
    return plan(parse_study({**values, **changes}), {"digits": "0" * 32})


def test_an_edited_network_is_trained_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "added", Network("added", WHERE))
    before = planned(networks=["added"]).stages
    assert planned(networks=["added"]).stages.keys() == before.keys()
    (folder / "added_network.py").write_text(BODY.replace("WIDTH = 8", "WIDTH = 7"))
    assert not planned(networks=["added"]).stages.keys() & before.keys()
    monkeypatch.setitem(NETWORKS, "added", Network("added", "added_network:gone"))
    with pytest.raises(StudyError, match="has no 'gone'"):
        planned(networks=["added"])


def test_an_edited_score_prunes_again_without_a_new_pretraining(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "added_score.py").write_text("def tiny(layer, weights, seed):\n    return weights.abs()\n")
    monkeypatch.setitem(SCORES, "magnitude", Score("added_score:tiny"))
    dense, pruned = planned().stages
    (folder / "added_score.py").write_text("def tiny(layer, weights, seed):\n    return -weights.abs()\n")
    again = list(planned().stages)
    assert again[0] == dense
    assert again[1] != pruned


def test_hashing_code_imports_neither_the_code_nor_pytorch(folder: Path) -> None:
    script = (
        "import sys; from engine.code import code_hash; code_hash('added_network:added'); "
        "code_hash('engine.models.networks:mobilenet_v2'); "
        "print('torch' in sys.modules, 'added_network' in sys.modules)"
    )
    environment = {"PYTHONPATH": f"{ENGINE.parent}:{folder}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(("version", "named"), [(1, "version 1"), (2, "version 2")])
def test_what_a_score_needs_is_part_of_its_identity(version: int, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "needy", Score("nowhere:needy", version=version, needs=("movement", "initial")))
    assert implementations("lenet300", "needy", None) == (("score", f"{named} with initial, movement"),)
