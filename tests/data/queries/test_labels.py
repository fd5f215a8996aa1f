import pandas as pd
import pytest

from data.database.database import Database
from data.queries import points
from data.queries.labels import differing, once
from data.queries.selection import ROLE, Studies
from engine.study.spec import Study, parse_study
from tests.app.made_study import record
from tests.data.queries.conftest import small


def study(**changes: object) -> Study:
    return parse_study({"name": "made", "datasets": ["digits"], "networks": ["lenet300"], **changes})


def test_equal_recipes_have_empty_labels() -> None:
    assert differing({"a": study(), "b": study(name="other", seeds=[7], learning_rates=[0.5])}) == {"a": "", "b": ""}
    assert differing({}) == {}


def test_labels_name_only_fields_that_differ() -> None:
    labels = differing({"a": study(recipe={"epochs": 100}), "b": study(recipe={"epochs": 150, "weight_decay": 0.01})})
    assert labels == {"a": "T 100, weight decay 0.0005", "b": "T 150, weight decay 0.01"}


def test_labels_name_limits_on_images_and_precision() -> None:
    labels = differing({"a": study(train_images=500), "b": study(recipe={"precision": "bf16"})})
    assert labels == {"a": "fp32, 500 training images", "b": "bf16, all training images"}


def test_labels_name_k_only_where_a_study_sets_it() -> None:
    assert differing({"a": study(recipe={"epochs": 30}), "b": study(recipe={"epochs": 150})})["a"] == "T 30"
    labels = differing({"a": study(), "b": study(recipe={"rewind_epoch": 5})})
    assert labels == {"a": "k 10", "b": "k 5"}


def test_labels_name_admm_settings_only_where_admm_prunes() -> None:
    admm = {"pruners": ["admm"], "admm": {"rounds": 4}}
    assert set(differing({"a": study(), "b": study(**admm)}).values()) == {""}
    labels = differing({"a": study(pruners=["admm"]), "b": study(**admm)})
    assert labels == {"a": "ADMM 10 rounds of 3 epochs", "b": "ADMM 4 rounds of 3 epochs"}


def test_labels_of_each_kind_of_admm_name_its_own_rho() -> None:
    growing = {"a": study(pruners=["admm"]), "b": study(pruners=["admm"], admm={"rho_start": 1e-4})}
    assert differing(growing) == {"a": "ADMM ρ from automatic", "b": "ADMM ρ from 0.0001"}
    constant = {"a": study(pruners=["admm_constant"]), "b": study(pruners=["admm_constant"], admm={"rho": 0.05})}
    assert differing(constant) == {"a": "constant ADMM ρ automatic", "b": "constant ADMM ρ 0.05"}
    assert set(differing({"a": growing["a"], "b": constant["b"]}).values()) == {""}


def counts(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby([*ROLE, "recipe", "rounds"], dropna=False).size()


def test_a_shared_training_counts_once(shared: Database) -> None:
    rows = points.accuracy(shared, Studies(["first", "second"]))
    assert set(rows["recipe"]) == {""}
    assert (counts(rows[rows["seed"] == 1]) == 2).all()
    assert (counts(once(rows)) == 1).all()
    assert set(once(rows)["seed"]) == {0, 1, 2}


def test_trainings_of_other_recipes_are_distinct(shared: Database) -> None:
    rows = points.accuracy(shared, Studies(["first", "longer"]))
    assert dict(zip(rows["study_id"], rows["recipe"], strict=True)) == {"first": "T 4", "longer": "T 6"}
    assert (counts(once(rows)) == 1).all()


def test_masks_made_in_other_rounds_are_distinct(database: Database) -> None:
    record(database, small(), study_id="first")
    record(database, small(name="other rounds", sparsities=[0.7, 0.9]), study_id="other")
    rows = once(points.accuracy(database, Studies(["first", "other"])))
    last = rows[(rows["sparsity"] == 0.9) & (rows["start"] == "winning_ticket")]
    assert set(last["rounds"]) == {"rounds 50, 90 %", "rounds 70, 90 %"}
    assert (counts(rows) == 1).all()
    assert set(rows[rows["start"] == "dense"]["rounds"]) == {""}


def test_changed_images_of_the_same_name_are_distinct(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    record(database, small(), study_id="first")
    from tests.app import made_study

    planned = made_study.plan
    monkeypatch.setattr(made_study, "plan", lambda study, _: planned(study, {"digits": "changed since, 0123abcd"}))
    record(database, small(name="later"), study_id="later")
    rows = once(points.accuracy(database, Studies(["first", "later"])))
    assert rows["recipe"].nunique() == 2
    assert "images 0123abcd" in set(rows["recipe"])


def test_studies_of_the_same_name_are_labelled_with_their_ids(database: Database) -> None:
    record(database, small(), study_id="one")
    record(database, small(seeds=[5]), study_id="two")
    assert set(points.accuracy(database, Studies(["one", "two"]))["study"]) == {"made (one)", "made (two)"}
