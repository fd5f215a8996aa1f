import pytest

from data import views
from data.store import Store
from data.views import ViewError


def test_a_view_comes_back_as_it_was_saved(store: Store) -> None:
    view_id = views.save(store, "  Low  against high ", "s=0123ab&c=network")
    assert views.get(store, view_id) == ("Low against high", "s=0123ab&c=network")


def test_the_latest_view_is_listed_first(store: Store) -> None:
    ids = [views.save(store, name, "") for name in ("one", "two", "three")]
    assert views.list(store)["view_id"].tolist() == ids[::-1]
    assert str(views.list(store)["created_at"].dt.tz) == "UTC"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_name_of_no_use_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ViewError, match="1 to 80 characters"):
        views.save(store, name, "")


def test_a_name_is_given_once(store: Store) -> None:
    one, two = views.save(store, "one", ""), views.save(store, "two", "")
    with pytest.raises(ViewError, match="'one' is kept already"):
        views.save(store, "one", "other")
    with pytest.raises(ViewError, match="'one' is kept already"):
        views.rename(store, two, "one")
    views.rename(store, one, "uno")
    assert views.get(store, one)[0] == "uno"


def test_a_deleted_view_is_gone_and_deleting_it_again_does_no_harm(store: Store) -> None:
    view_id = views.save(store, "one", "")
    views.delete(store, view_id)
    views.delete(store, view_id)
    assert views.list(store).empty
    for again in (lambda: views.get(store, view_id), lambda: views.rename(store, view_id, "x")):
        with pytest.raises(ViewError, match="may have been deleted"):
            again()
