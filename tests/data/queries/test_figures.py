import pytest

from data.database.database import Database
from data.queries import figures, studies
from tests.data.made_results import STUDY_ID, Stream, made_plan, whole_study


def test_roles_are_found_whichever_study_trained_them(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    expected = studies.accuracy(store, STUDY_ID)
    found = figures.accuracy(store, made.roles)
    assert found.equals(expected)
    some = figures.accuracy(store, made.roles[3:7])
    assert list(some["fingerprint"]) == [role.fingerprint for role in made.roles[3:7]]


def test_overlaps_are_pooled_as_for_a_study(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    expected = studies.pooled_overlaps(store, STUDY_ID, ("finetuned_initial",))
    found = figures.pooled_overlaps(store, made.roles, ("finetuned_initial",), made.study.overlap_p)
    assert found.equals(expected)


def test_what_is_not_trained_has_no_row(store: Database) -> None:
    made = made_plan()
    store.ensure()
    assert figures.accuracy(store, made.roles).empty
    assert figures.pooled_overlaps(store, made.roles, ("initial_pretrained",), (0.2,)).empty
    assert figures.accuracy(store, ()).empty


def test_every_launched_study_is_listed_with_its_toml(store: Database) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    ((study_id, toml),) = figures.studies(store)
    assert study_id == STUDY_ID
    assert "[recipe]" in toml


@pytest.mark.parametrize("count", [1, 2])
def test_a_role_asked_for_twice_comes_twice(store: Database, count: int) -> None:
    made = made_plan()
    store.record(whole_study(Stream(), made))
    assert len(figures.accuracy(store, made.roles[:1] * count)) == count
