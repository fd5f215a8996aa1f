"""Names, notes and tags that the owner changes, which a rebuild and a backup bring back."""

import pytest
from redis import Redis

from data.database import backup
from data.database.database import Database
from data.database.events import TAGS
from data.queries import studies
from data.settings import settings
from data.shared_links import create
from data.viewers import ViewersDatabase
from tasks.services import recorder
from tasks.studies import delete, launch
from tasks.studies.describe import DescriptionError, describe
from tasks.studies.rebuild import rebuild
from tests.machine import tiny_study

NAMED = ("Three rates", "For the group", ["paper", "röntgen", "first"])


def called(database: Database, study_id: str) -> tuple[str, str, list[str]]:
    rows = studies.studies(database).set_index("study_id")
    assert (studies.study(database, study_id).study.name, rows.loc[study_id, "name"]) == (
        rows.loc[study_id, "name"],
    ) * 2
    return rows.loc[study_id, "name"], rows.loc[study_id, "note"], rows.loc[study_id, "tags"]


@pytest.fixture
def study_id(redis: Redis, database: Database) -> str:
    """A launched study, called as NAMED."""
    study_id = launch.launch(tiny_study())
    # As two tabs would, one of which knows nothing of the other.
    describe(study_id, name="  Three   rates ", add=["paper", "draft"])
    describe(study_id, note="For the group", add=["röntgen", "paper", "first"], remove=["draft"])
    recorder.drain_idle(settings())
    assert called(database, study_id) == NAMED
    return study_id


def test_what_a_study_is_called_outlives_redis_and_the_database(
    redis: Redis, database: Database, study_id: str
) -> None:
    trashed = launch.launch(tiny_study(seeds=[1]))
    delete.trash(settings(), trashed)
    recorder.drain_idle(settings())
    earlier = backup.backup(database, settings().home / "earlier.duckdb").path
    redis.flushall()
    assert {rebuilt.study_id for rebuilt in rebuild(settings())} == {study_id, trashed}
    assert rebuild(settings()) == []
    describe(study_id, add=["last"], remove=["first"])
    delete.restore(settings(), trashed)
    recorder.drain_idle(settings())
    # A restored backup gets what happened since.
    backup.restore(database, earlier)
    assert called(database, study_id) == NAMED
    assert len(rebuild(settings())) == 2
    assert called(database, study_id) == (*NAMED[:2], ["paper", "röntgen", "last"])
    assert studies.study(database, trashed).state == "cancelled"
    assert rebuild(settings()) == []
    delete.trash(settings(), trashed)
    recorder.drain_idle(settings())
    database.path.unlink()
    database.ensure()
    rebuild(settings())
    assert called(database, study_id) == (*NAMED[:2], ["paper", "röntgen", "last"])
    assert list(studies.trash(database)["study_id"]) == [trashed]


def test_viewers_read_the_present_name_and_no_tags(database: Database, study_id: str) -> None:
    share, _ = create(database, [study_id])
    viewed = ViewersDatabase(database, share)
    assert called(viewed, study_id) == (*NAMED[:2], [])
    assert 'name = "Three rates"' in studies.study(viewed, study_id).toml


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": " "}, "1 to 100 characters"),
        ({"name": "x" * 101}, "given 101"),
        ({"name": "\u3164"}, "shows nothing"),
        ({"name": "a\u202eb"}, "invisible character"),
        ({"note": "x" * 2_001}, "at most 2,000 characters"),
        ({"add": ["x" * 31]}, "1 to 30 characters"),
        ({"add": [f"tag {number}" for number in range(TAGS)]}, "at most 20 tags; remove one first"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_changes_nothing(
    database: Database, study_id: str, change: dict[str, str], message: str
) -> None:
    with pytest.raises(DescriptionError, match=message):
        describe(study_id, **change)  # type: ignore[arg-type]
    recorder.drain_idle(settings())
    assert called(database, study_id) == NAMED
