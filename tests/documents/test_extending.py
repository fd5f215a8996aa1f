"""Whoever follows docs/extending.md word by word has what it promises, and a green suite."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.registry import NETWORKS, PRUNERS, STARTS
from tests.documents.apply import apply, code_blocks, copy_of_checkout

# The tests that look at the tables, and so at what was added to them.
CONCERNED = (
    "tests/test_adding.py::test_every_entry_is_described",
    "tests/test_adding.py::test_no_two_entries_share_a_title",
    "tests/test_adding.py::test_scores_and_starts_that_pruners_name_are_in_their_tables",
    "tests/documents/test_reference.py",
    "tests/engine/claims/test_catalog.py::test_the_claims_are_those_of_the_paper_in_its_order",
    "tests/engine/claims/test_catalog.py::test_every_figure_names_known_claims_and_every_claim_of_the_paper_has_a_figure",
    "tests/engine/claims/test_catalog.py::test_every_claim_is_evaluated_in_order",
    "tests/engine/models/test_networks.py",
    "tests/engine/study/test_fingerprints.py",
    "tests/engine/study/test_layers.py",
    "tests/engine/study/test_plan.py",
    "tests/engine/study/test_spec.py",
    "tests/engine/test_code.py",
    "tests/engine/test_masks.py",
)
STUDY = """
name = "What was added"
datasets = ["stripes"]
networks = ["lenet5"]
learning_rates = [0.05]
pruners = ["inverse", "movement", "increase"]
sparsities = [0.5, 0.8]
starts = ["winning_ticket", "halfway"]
seeds = [0]

[recipe]
epochs = 2
batch_size = 40
augmentation = "none"
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with every block of the document in its place."""
    copy = copy_of_checkout(tmp_path_factory.mktemp("followed") / "checkout")
    for file, code, _ in code_blocks():
        apply(code, copy / file)
    python(copy, "docs/reference.py")
    return copy


def python(copy: Path, *arguments: str) -> str:
    """Run Python on the copy, and return its output."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    # A process of its own must not take itself for a part of this test run.
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_the_blocks_add_networks_scores_pruners_starts_a_dataset_and_a_claim() -> None:
    added = {(file, name) for file, code, _ in code_blocks() for name in re.findall(r"^(\w+) = .\s*\.\.\.", code)}
    tables = {"NETWORKS", "SCORES", "PRUNERS", "STARTS"}
    assert {("engine/registry.py", name) for name in tables} <= added
    assert {("data/datasets/registry.py", "DATASETS"), ("engine/claims/catalog.py", "_CLAIMS")} <= added
    assert not {"lenet5"} & NETWORKS.keys()
    assert not {"inverse", "movement", "increase"} & PRUNERS.keys()
    assert not {"halfway"} & STARTS.keys()


def test_what_was_added_trains(followed: Path, home: Path) -> None:
    study = home.with_name("study.toml")
    study.write_text(STUDY, encoding="utf-8")
    out = home.with_name("out")
    python(followed, "-m", "tasks", "run", str(study), "--out", str(out), "--jobs", "1", "--device", "cpu")
    rows = pq.read_table(out / "accuracy.parquet").to_pylist()
    assert {row["network"] for row in rows} == {"lenet5"}
    points = {(row["pruner"], row["sparsity"], row["start"]) for row in rows if row["pruner"]}
    assert points == {
        (pruner, sparsity, start)
        for pruner in ("inverse", "movement", "increase")
        for sparsity in (0.5, 0.8)
        for start in ("winning_ticket", "halfway")
    }
    assert all(row["test_accuracy"] is not None for row in rows)
    masks = {(row["pruner"], row["sparsity"]): row["mask"] for row in rows if row["pruner"]}
    assert len(set(masks.values())) == len(masks)


def test_the_tests_that_look_at_the_tables_pass(followed: Path, home: Path) -> None:
    del home
    concerned = "\n".join(CONCERNED)
    assert "passed" in python(followed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CONCERNED), concerned
