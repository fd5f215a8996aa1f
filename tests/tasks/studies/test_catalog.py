import pytest

from engine.paper import studies
from engine.study.spec import StudyError
from tasks.studies.catalog import one_by_one, read


def test_names_are_read_as_their_studies() -> None:
    assert read("demo").name.startswith("Demo")
    assert read("paper:fig7", "SMALL", "digits") == studies.study("fig7", "small", "digits")
    assert read("paper:table1") == studies.study("table1")


def test_a_scale_is_only_for_the_paper() -> None:
    with pytest.raises(StudyError, match="paper:fig7"):
        read("demo", "small")
    with pytest.raises(StudyError, match="no study file"):
        read("nowhere.toml")


def test_only_the_whole_paper_shares_trainings_between_figures() -> None:
    assert one_by_one("paper:fig7") is None
    assert one_by_one("demo") is None
    trainings = one_by_one("paper:all", "small")
    assert trainings is not None
    assert trainings > 1000
