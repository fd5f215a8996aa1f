"""A study of which every training is recorded, for the tests of charts."""

import pytest

from data.database.database import Database
from engine.study.spec import Study
from tests.app.made_study import record


@pytest.fixture
def recorded(database: Database, study: Study) -> Database:
    record(database, study)
    return database
