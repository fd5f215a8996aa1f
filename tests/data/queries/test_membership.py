"""Which study a stage belongs to."""

from datetime import timedelta

from data.database.database import Database
from data.database.events import Event
from data.queries.membership import studies_of
from engine.study.spec import Study, parse_study
from tests.app.made_study import BEGAN, record


def small(**changes: object) -> Study:
    values = {
        "name": "Small",
        "datasets": ["digits"],
        "networks": ["lenet300"],
        "learning_rates": [0.1],
        "pruners": ["iterative", "oneshot"],
        "sparsities": [0.5],
        "seeds": [0],
        "recipe": {"epochs": 4},
    }
    return parse_study({**values, **changes})


def test_the_latest_study_that_was_not_cancelled_stands_for_all(store: Database) -> None:
    store.ensure()
    made = record(store, small(name="First"), study_id="first", began=BEGAN)
    again = record(store, small(name="Second"), study_id="second", began=BEGAN + timedelta(days=1))
    record(store, small(name="Third", seeds=[0, 1]), study_id="third", began=BEGAN + timedelta(days=2))
    assert made.stages.keys() == again.stages.keys()
    fingerprints = list(made.stages)
    found = studies_of(store, [*fingerprints, "0" * 32])
    assert set(found["fingerprint"]) == set(fingerprints)
    assert set(found["study"]) == {"Third"}
    assert set(found["studies"]) == {3}
    at = (BEGAN + timedelta(days=3)).isoformat()
    store.record([Event("9999999999999-0", "cancelled", {"study_id": "third", "at": at})])
    found = studies_of(store, fingerprints[:1])
    assert list(found[["study_id", "study"]].itertuples(index=False, name=None)) == [("second", "Second")]


def test_stages_are_described_as_in_their_study(store: Database) -> None:
    store.ensure()
    made = record(store, small(), study_id="one")
    found = studies_of(store, list(made.stages)).set_index("fingerprint")
    for fingerprint, stage in made.stages.items():
        row = found.loc[fingerprint]
        assert (row["kind"], row["network"], row["dataset"], row["seed"]) == (stage.kind, "lenet300", "digits", 0)
        assert row["sparsity"] == stage.sparsity
        assert row["start"] == ("dense" if stage.kind == "pretrain" else stage.start)
    # A first round of iterative pruning is one-shot pruning: the same stages.
    assert {"", "iterative, oneshot"} == set(found["pruners"])
    assert studies_of(store, []).empty
