import pytest

from data import saved_views
from data.database.database import Database
from data.saved_views import ViewError


def test_a_view_is_read_as_it_was_saved(database: Database) -> None:
    view_id = saved_views.save(database, "  Low  against high ", "s=0123ab&c=network")
    assert saved_views.get(database, view_id) == ("Low against high", "s=0123ab&c=network")


def test_the_latest_view_is_listed_first(database: Database) -> None:
    ids = [saved_views.save(database, name, "") for name in ("one", "two", "three")]
    assert saved_views.list(database)["view_id"].tolist() == ids[::-1]
    assert str(saved_views.list(database)["created_at"].dt.tz) == "UTC"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_an_empty_or_long_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(ViewError, match="1 to 80 characters"):
        saved_views.save(database, name, "")


def test_two_views_cannot_have_the_same_name(database: Database) -> None:
    first, second = saved_views.save(database, "one", ""), saved_views.save(database, "two", "")
    with pytest.raises(ViewError, match="'one' exists already"):
        saved_views.save(database, "one", "other")
    with pytest.raises(ViewError, match="'one' exists already"):
        saved_views.rename(database, second, "one")
    saved_views.rename(database, first, "uno")
    assert saved_views.get(database, first)[0] == "uno"


def test_a_view_can_be_deleted_twice_and_then_cannot_be_used(database: Database) -> None:
    view_id = saved_views.save(database, "one", "")
    saved_views.delete(database, view_id)
    saved_views.delete(database, view_id)
    assert saved_views.list(database).empty
    for use in (lambda: saved_views.get(database, view_id), lambda: saved_views.rename(database, view_id, "x")):
        with pytest.raises(ViewError, match="may have been deleted"):
            use()
