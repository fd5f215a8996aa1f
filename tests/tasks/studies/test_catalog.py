import pytest

from engine.paper import studies
from engine.study.spec import StudyError
from tasks.studies.catalog import one_by_one, read


def test_names_lead_to_their_studies() -> None:
    assert read("demo").name.startswith("Demo")
    assert read("paper:fig7", "SMALL", "digits") == studies.study("fig7", "small", "digits")
    assert read("paper:table1") == studies.study("table1")


def test_a_scale_is_only_for_the_paper() -> None:
    with pytest.raises(StudyError, match="paper:fig7"):
        read("demo", "small")
    with pytest.raises(StudyError, match="no study file"):
        read("nowhere.toml")


def test_only_the_whole_paper_has_figures_that_share() -> None:
    assert one_by_one("paper:fig7") is None
    assert one_by_one("demo") is None
    apart = one_by_one("paper:all", "small")
    assert apart is not None
    assert apart > 1000
