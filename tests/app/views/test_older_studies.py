"""Every page shows a study that was launched before its values had limits."""

import pytest

from data.database.database import Database
from engine.study.spec import Study, StudyError, parse_study, read_study, to_toml
from tests.app.dashboard import open_page
from tests.app.made_study import record

ID = "made-study-0001"


@pytest.fixture
def older(database: Database, study: Study) -> Study:
    """A study that nobody could launch today: a bell in its name, far too many seeds, and a milestone at epoch 0."""
    record(database, study)
    values = {**study.model_dump(), "name": "Rings\a", "seeds": tuple(range(20_000))}
    values["recipe"] = {**study.recipe.model_dump(), "milestones": (0.01,)}
    unlimited = parse_study(values, recorded=True)
    with database.writing() as connection:
        connection.execute("UPDATE studies SET name = ?, toml = ?", [unlimited.name, to_toml(unlimited)])
    return unlimited


def test_an_older_study_can_be_read_but_not_launched(older: Study) -> None:
    with pytest.raises(StudyError, match="characters; allowed"):
        read_study(to_toml(older))
    assert read_study(to_toml(older), recorded=True) == older


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("views/studies.py", {}),
        ("views/study.py", {"study": ID}),
        ("views/compare.py", {"s": ID}),
        ("views/paper.py", {}),
        ("views/figure.py", {"figure": "fig2"}),
        ("views/new_study.py", {"copy": ID}),
    ],
)
def test_every_page_shows_an_older_study(older: Study, page: str, query: dict[str, str]) -> None:
    del older
    app = open_page(page, **query)
    assert not app.error, [item.value for item in app.error]
