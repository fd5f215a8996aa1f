import pytest

from data import saved_views
from data.database.database import Database
from data.saved_views import ViewError


def test_a_view_comes_back_as_it_was_saved(store: Database) -> None:
    view_id = saved_views.save(store, "  Low  against high ", "s=0123ab&c=network")
    assert saved_views.get(store, view_id) == ("Low against high", "s=0123ab&c=network")


def test_the_latest_view_is_listed_first(store: Database) -> None:
    ids = [saved_views.save(store, name, "") for name in ("one", "two", "three")]
    assert saved_views.list(store)["view_id"].tolist() == ids[::-1]
    assert str(saved_views.list(store)["created_at"].dt.tz) == "UTC"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_name_of_no_use_is_refused(store: Database, name: str) -> None:
    with pytest.raises(ViewError, match="1 to 80 characters"):
        saved_views.save(store, name, "")


def test_a_name_is_given_once(store: Database) -> None:
    one, two = saved_views.save(store, "one", ""), saved_views.save(store, "two", "")
    with pytest.raises(ViewError, match="'one' is kept already"):
        saved_views.save(store, "one", "other")
    with pytest.raises(ViewError, match="'one' is kept already"):
        saved_views.rename(store, two, "one")
    saved_views.rename(store, one, "uno")
    assert saved_views.get(store, one)[0] == "uno"


def test_a_deleted_view_is_gone_and_deleting_it_again_does_no_harm(store: Database) -> None:
    view_id = saved_views.save(store, "one", "")
    saved_views.delete(store, view_id)
    saved_views.delete(store, view_id)
    assert saved_views.list(store).empty
    for again in (lambda: saved_views.get(store, view_id), lambda: saved_views.rename(store, view_id, "x")):
        with pytest.raises(ViewError, match="may have been deleted"):
            again()
