import pandas as pd
import pytest

from app.components import same_masks
from data.database.database import Database
from data.queries import points
from data.queries.selection import OneStudy
from engine.study.spec import Study
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record

ID = "made-study-0001"


def frame(*rows: tuple[str | None, float, int, str | None, float]) -> pd.DataFrame:
    """Return a frame of accuracies from rows of pruner, sparsity, seed, mask and learning rate."""
    points = pd.DataFrame(rows, columns=["pruner", "sparsity", "seed", "mask", "learning_rate"])
    return points.assign(dataset="digits", network="lenet300")


def test_masks_of_equal_content_are_named_by_pruners_sparsities_and_seeds() -> None:
    rows = []
    for seed in (0, 1, 2, 5):
        rows += [("iterative", 0.386, seed, f"a{seed}", 0.1), ("oneshot", 0.386, seed, f"a{seed}", 0.1)]
        # A second start has the same mask.
        rows += [("oneshot", 0.386, seed, f"a{seed}", 0.1)]
        rows += [("iterative", 0.9, seed, f"b{seed}", 0.1), ("oneshot", 0.9, seed, f"c{seed}", 0.1)]
    rows += [(None, 0.0, 0, None, 0.1), ("admm", 0.386, 0, None, 0.1), ("admm", 0.386, 1, "z", 0.1)]
    assert same_masks.sentences(frame(*rows)) == ["Iterative and one-shot have the same mask at 38.6 %, seeds 0-2, 5."]


def test_sparsities_of_the_same_seeds_share_a_sentence_and_rates_are_named_where_there_are_several() -> None:
    rows = []
    for sparsity in (0.5, 0.8):
        rows += [("oneshot", sparsity, 0, f"a{sparsity}", 0.1), ("admm", sparsity, 0, f"a{sparsity}", 0.1)]
    rows += [("oneshot", 0.5, 0, "x", 0.01), ("admm", 0.5, 0, "y", 0.01)]
    rows += [("iterative", 0.5, 0, "a0.5", 0.1)]
    assert same_masks.sentences(frame(*rows)) == [
        "One-shot, ADMM and iterative have the same mask at 50 %, learning rate 0.1, seed 0.",
        "One-shot and ADMM have the same mask at 80 %, learning rate 0.1, seed 0.",
    ]


@pytest.mark.parametrize("rows", [(), ((None, 0.0, 0, None, 0.1),), (("oneshot", 0.5, 0, "a", 0.1),)])
def test_there_is_no_sentence_where_all_masks_differ(rows: tuple) -> None:
    assert same_masks.sentences(frame(*rows)) == []


def test_the_accuracy_tab_and_compare_name_equal_masks(database: Database, study: Study) -> None:
    record(database, study)
    same = "Iterative and one-shot have the same mask at 50 %, learning rate"
    sentences = [f"{same} {rate}, seeds 0-2." for rate in ("0.01", "0.1")]
    assert same_masks.sentences(points.accuracy(database, OneStudy(ID))) == sentences
    app = open_page("views/study.py", study=ID)
    app.session_state["tab"] = "Accuracy"
    assert " ".join(sentences) in texts(rerun(app)).replace("\\", "")
    compare = open_page("views/compare.py", s=ID)
    assert " ".join(sentences) in texts(compare).replace("\\", "")
