"""Exported weights open without Ticketscope, fit a plain module, and give the recorded accuracy."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.artifacts.store import Artifacts
from data.database.database import Database
from data.datasets.loading import load_images
from data.weights import files
from data.weights.choice import ChoiceError
from data.weights.saved import WeightsMissing
from engine.masks import content_hash
from tests.tasks.bundles.trained import train
from tests.tasks.studies.test_rebuild import planned

# What `pip install torch safetensors` installs beside them, and NumPy.
NEEDED = (
    "torch", "torchgen", "functorch", "safetensors", "numpy", "numpy.libs", "typing_extensions.py", "filelock",
    "fsspec", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "nvidia", "triton", "cuda",
)  # fmt: skip

# A program of somebody who has no Ticketscope: LeNet-300 in plain PyTorch, and the recorded accuracy.
PROGRAM = """
import json, sys
from collections import OrderedDict
from pathlib import Path
sys.path[:] = [path for path in sys.path if "python" in path.lower()] + [sys.argv[1], sys.argv[2]]
try:
    import engine, data
    raise SystemExit("Ticketscope can be imported here")
except ModuleNotFoundError:
    pass
import torch
from torch import nn
from torch.nn.utils.prune import is_pruned
from load import load, prune
config = json.loads((Path(sys.argv[2]) / "config.json").read_text())
inputs = config["channels"] * config["image_size"] ** 2
module = nn.Sequential(OrderedDict(
    flatten=nn.Flatten(), fc1=nn.Linear(inputs, 300), relu1=nn.ReLU(), fc2=nn.Linear(300, 100), relu2=nn.ReLU(),
    fc3=nn.Linear(100, config["classes"]),
))
state, masks = load()
module.load_state_dict(state)
test = __import__("safetensors.torch").torch.load_file(sys.argv[3])
scale, shift = (torch.tensor(config["input"][name]).view(1, -1, 1, 1) for name in ("scale", "shift"))
images = test["images"].permute(0, 3, 1, 2) * scale + shift
def accuracy():
    with torch.no_grad():
        return 100 * (module(images).argmax(1) == test["labels"]).float().mean().item()
before = accuracy()
prune(module, masks)
kept = {name: int(mask.sum()) for name, mask in masks.items()}
print(json.dumps({"before": before, "after": accuracy(), "pruned": is_pruned(module), "kept": kept}))
"""

STUDY = {"pruners": ["oneshot"], "sparsities": [0.5], "starts": ["winning_ticket", "reinit"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, Artifacts, Path]:
    home = tmp_path_factory.mktemp("trained")
    return *train(planned(**STUDY), home), home


def test_a_program_with_torch_and_safetensors_alone_opens_them(
    trained: tuple[Database, Artifacts, Path], tmp_path: Path
) -> None:
    database, artifacts, home = trained
    [measured] = files.trainings(database, "there", start="winning_ticket", sparsity=0.5)
    out = files.write(database, artifacts, "there", measured, "trained", tmp_path / "ticket", home)
    assert sorted(file.name for file in out.iterdir()) == [
        "config.json",
        "load.py",
        "mask.safetensors",
        "weights.safetensors",
    ]
    packages = tmp_path / "packages"
    packages.mkdir()
    installed = Path(sysconfig.get_paths()["purelib"])
    for name in NEEDED:
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    images = load_images(measured.training.stage.images, home)
    save_file({"images": images.test_images.contiguous(), "labels": images.test_labels}, tmp_path / "test.safetensors")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(packages), str(out), str(tmp_path / "test.safetensors")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, config = json.loads(done.stdout), json.loads((out / "config.json").read_text())
    assert answer["before"] == pytest.approx(config["test_accuracy"], abs=1e-4)
    assert answer["after"] == answer["before"]
    assert answer["pruned"]
    assert answer["kept"] == {layer["name"]: layer["kept"] for layer in config["layers"]}
    assert (config["network"], config["channels"], config["image_size"], config["classes"]) == ("lenet300", 1, 8, 10)
    assert config["fingerprint"] == measured.training.fingerprint
    assert {"ticketscope", "engine", "torch", "python"} == set(config["versions"])


def test_initial_weights_and_dense_networks_are_written_too(
    trained: tuple[Database, Artifacts, Path], tmp_path: Path
) -> None:
    database, artifacts, home = trained
    found = files.trainings(database, "there")
    assert files.folder_names(found) == [
        "lenet300-digits-lr0.1-seed0-dense",
        "lenet300-digits-lr0.1-seed0-winning_ticket-oneshot-0.5",
        "lenet300-digits-lr0.1-seed0-reinit-oneshot-0.5",
    ]
    dense, ticket, reinit = found
    for measured, which in ((dense, "trained"), (dense, "rewind"), (ticket, "initial"), (reinit, "initial")):
        files.write(database, artifacts, "there", measured, which, tmp_path / "out", home)
        config = json.loads((tmp_path / "out" / "config.json").read_text())
        assert config["weights"].startswith(which)
        assert (config["test_accuracy"] is None) == (which != "trained")
        # The mask of an earlier export must not stay beside a dense network.
        assert (tmp_path / "out" / "mask.safetensors").exists() == (measured is not dense)
        assert [layer["name"] for layer in config["layers"]] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    state = load_file(tmp_path / "out" / "weights.safetensors")
    assert not torch.equal(state["fc1.weight"], artifacts.load(dense.training.fingerprint, "initial")["fc1.weight"])
    stored = artifacts.result(ticket.training.fingerprint)
    assert stored is not None
    assert content_hash(artifacts.load(ticket.training.fingerprint, "mask")) == stored.mask


def test_a_choice_that_fits_none_says_what_is_allowed(
    trained: tuple[Database, Artifacts, Path], tmp_path: Path
) -> None:
    database, artifacts, home = trained
    with pytest.raises(ChoiceError, match=r"sparsity 0.7; it has 0.0, 0.5"):
        files.trainings(database, "there", sparsity=0.7)
    [ticket] = files.trainings(database, "there", start="winning_ticket")
    with pytest.raises(WeightsMissing, match="only dense networks have rewind weights"):
        files.write(database, artifacts, "there", ticket, "rewind", tmp_path, home)
    assert list(tmp_path.iterdir()) == []
