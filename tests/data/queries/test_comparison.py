import pandas as pd
import pytest

from data.database.database import Database
from data.queries import comparison, studies
from data.queries.comparison import once
from data.queries.studies import UnknownStudy
from engine.study.spec import Study, parse_study
from tests.app.made_study import record

ROLE = ["dataset", "network", "learning_rate", "seed", "pruner", "sparsity", "start"]


def made(**changes: object) -> Study:
    values = {
        "name": "made",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "sparsities": [0.5, 0.9],
        "seeds": [0, 1],
        "overlap_p": [0.1, 0.2],
        "recipe": {"epochs": 4},
    }
    return parse_study({**values, **changes})


@pytest.fixture
def shared(store: Database) -> Database:
    """Two studies that share seed 1, and a third with another T."""
    record(store, made(), study_id="first")
    record(store, made(name="more seeds", seeds=[1, 2], overlap_p=[0.2, 0.3]), study_id="second")
    record(store, made(name="longer", recipe={"epochs": 6}), study_id="longer")
    return store


def points(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby([*ROLE, "recipe", "rounds"], dropna=False).size()


def test_rows_are_those_of_each_study_by_itself_in_the_order_asked_for(shared: Database) -> None:
    rows = comparison.accuracy(shared, ["second", "first"])
    assert list(dict.fromkeys(rows["study_id"])) == ["second", "first"]
    assert dict(zip(rows["study_id"], rows["study"], strict=True)) == {"second": "more seeds", "first": "made"}
    for study_id, part in rows.groupby("study_id"):
        own = studies.accuracy(shared, study_id)
        pd.testing.assert_frame_equal(part[own.columns].reset_index(drop=True), own, check_dtype=False)


def test_a_shared_training_counts_once(shared: Database) -> None:
    rows = comparison.accuracy(shared, ["first", "second"])
    assert set(rows["recipe"]) == {""}
    assert (points(rows[rows["seed"] == 1]) == 2).all()
    assert (points(once(rows)) == 1).all()
    assert set(once(rows)["seed"]) == {0, 1, 2}


def test_other_recipes_are_told_apart(shared: Database) -> None:
    rows = comparison.accuracy(shared, ["first", "longer"])
    assert dict(zip(rows["study_id"], rows["recipe"], strict=True)) == {"first": "T 4", "longer": "T 6"}
    assert (points(once(rows)) == 1).all()


def test_masks_made_over_other_rounds_are_told_apart(store: Database) -> None:
    record(store, made(), study_id="first")
    record(store, made(name="other rounds", sparsities=[0.7, 0.9]), study_id="other")
    rows = once(comparison.accuracy(store, ["first", "other"]))
    last = rows[(rows["sparsity"] == 0.9) & (rows["start"] == "winning_ticket")]
    assert set(last["rounds"]) == {"rounds 50, 90 %", "rounds 70, 90 %"}
    assert (points(rows) == 1).all()
    assert set(rows[rows["start"] == "dense"]["rounds"]) == {""}


def test_images_of_one_name_that_are_others_are_told_apart(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, made(), study_id="first")
    from tests.app import made_study

    planned = made_study.plan
    monkeypatch.setattr(made_study, "plan", lambda study, _: planned(study, {"digits": "changed since, 0123abcd"}))
    record(store, made(name="later"), study_id="later")
    rows = once(comparison.accuracy(store, ["first", "later"]))
    assert rows["recipe"].nunique() == 2
    assert "images 0123abcd" in set(rows["recipe"])


def test_studies_of_one_name_keep_their_ids(store: Database) -> None:
    record(store, made(), study_id="one")
    record(store, made(seeds=[5]), study_id="two")
    assert set(comparison.accuracy(store, ["one", "two"])["study"]) == {"made (one)", "made (two)"}


def test_overlaps_are_at_each_studys_own_p_unless_told(shared: Database) -> None:
    rows = comparison.pooled_overlaps(shared, ["first", "second"], ["initial_pretrained"])
    assert set(rows[rows["study_id"] == "first"]["p"]) == {0.1, 0.2}
    assert set(rows[rows["study_id"] == "second"]["p"]) == {0.2, 0.3}
    own = studies.pooled_overlaps(shared, "first", ["initial_pretrained"])
    assert rows[rows["study_id"] == "first"]["ratio"].tolist() == own["ratio"].tolist()
    at = comparison.pooled_overlaps(shared, ["first"], ps=[0.45])
    assert set(at["p"]) == {0.45}
    assert {"ticket_finetuned", "reinit_finetuned", "initial_pretrained"} <= set(at["pair"])


def test_layers_are_those_of_the_study(shared: Database) -> None:
    rows = comparison.layer_overlaps(shared, ["second"], ["initial_pretrained"])
    own = studies.overlaps(shared, "second", ["initial_pretrained"])
    assert rows["intersection"].tolist() == own["intersection"].tolist()


def test_retention_falls_from_early_to_late(shared: Database) -> None:
    rows = comparison.retention(shared, ["first"], ps=[0.2])
    assert set(rows["start"]) == {"dense"}
    assert set(rows["epochs"]) == {4}
    for _, part in rows.groupby("fingerprint"):
        assert part["epoch"].is_monotonic_increasing
        assert part["ratio"].is_monotonic_decreasing
        assert part["ratio"].between(0, 1).all()


def test_epochs_are_those_of_the_studies_only(shared: Database) -> None:
    mine = comparison.accuracy(shared, ["first"])["fingerprint"].iloc[0]
    other = comparison.accuracy(shared, ["longer"])["fingerprint"].iloc[0]
    rows = comparison.epochs(shared, ["first"], [mine, other])
    assert set(rows["fingerprint"]) == {mine}
    assert rows["epoch"].tolist() == [1, 2, 3, 4]


def test_the_revision_changes_with_results_and_nothing_else(shared: Database) -> None:
    before = comparison.revision(shared, ["first"])
    record(shared, made(name="elsewhere", datasets=["cifar10"]), study_id="elsewhere")
    assert comparison.revision(shared, ["first"]) == before
    assert comparison.revision(shared, ["first", "second"]) != before


@pytest.mark.parametrize("read", [comparison.accuracy, comparison.pooled_overlaps, comparison.retention])
def test_an_unknown_study_is_refused(shared: Database, read: object) -> None:
    with pytest.raises(UnknownStudy, match="no study 'gone'"):
        read(shared, ["first", "gone"])


def test_no_result_yet_is_no_rows(store: Database) -> None:
    record(store, made(), lambda index, stage: "queued", study_id="waiting")
    for read in (comparison.accuracy, comparison.pooled_overlaps, comparison.layer_overlaps, comparison.retention):
        assert read(store, ["waiting"]).empty
