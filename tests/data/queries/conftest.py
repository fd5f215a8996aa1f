"""Studies that share trainings, recorded for the tests of queries."""

import pytest

from data.database.database import Database
from engine.study.spec import Study, parse_study
from tests.app.made_study import record


def small(**changes: object) -> Study:
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
def shared(database: Database) -> Database:
    """Two studies that share seed 1, and a third with another T."""
    record(database, small(), study_id="first")
    record(database, small(name="more seeds", seeds=[1, 2], overlap_p=[0.2, 0.3]), study_id="second")
    record(database, small(name="longer", recipe={"epochs": 6}), study_id="longer")
    return database
