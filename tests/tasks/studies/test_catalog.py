from pathlib import Path

import pytest

from data.settings import settings
from engine.paper import studies
from engine.study.spec import StudyError
from tasks.studies.catalog import one_by_one, read
from tasks.studies.planning import plan_study
from tests.machine import folder_of_images


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


def test_a_small_figure_on_fewer_images_trains_on_all_of_them(home: Path, tmp_path: Path) -> None:
    del home
    few = f"folder:{folder_of_images(tmp_path / 'few')}"
    study = read("paper:fig7:b", "small", few)
    assert (study.train_images, study.test_images) == (None, None)
    plan_study(study, settings().home)
    # Nobody is refused for a number that nobody wrote, but a number that somebody wrote counts.
    with pytest.raises(StudyError, match="1000 is more than"):
        plan_study(study.model_copy(update={"train_images": 1000}), settings().home)
    assert read("paper:fig7:b", "small", "folder:/nowhere").train_images == 1000
