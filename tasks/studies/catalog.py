"""Studies by their names on the command line: demo, paper:<id>, or a TOML file."""

import shlex
from pathlib import Path

from data.datasets.registry import FOLDER, DatasetError, absolute, shape
from data.settings import settings
from engine.paper import figures, studies
from engine.study.plan import plan
from engine.study.spec import Study, StudyError, load_study
from tasks.process import ROOT

PAPER = "paper:"


def read(name: str, scale: str | None = None, data: str | None = None) -> Study:
    """Return the study of a name: demo, paper:<id>, or the path of a TOML file.

    scale, data: for a paper:<id> only, see `engine.paper.studies.study`. Raises StudyError for an unknown name, file,
    scale or dataset.
    """
    if name.startswith(PAPER):
        return figure(name.removeprefix(PAPER), (scale or "paper").lower(), data)
    if scale is not None or data is not None:
        raise StudyError({"": f"--scale and --data are for the paper's studies, such as paper:fig7; given {name!r}"})
    return load_study(ROOT / "studies" / "demo.toml" if name == "demo" else Path(name))


def figure(name: str, scale: str = "paper", data: str | None = None) -> Study:
    """Return the study of a figure; see `engine.paper.studies.study`.

    On a folder with fewer images than the scale has, it is trained or tested on all of them.
    """
    study = studies.study(name, scale, data)
    if data is None or not data.startswith(FOLDER):
        return study
    try:
        images = shape(absolute(data), settings().home)
    except DatasetError:
        # The plan says what is wrong with the folder.
        return study
    few = {
        "train_images": study.train_images is not None and study.train_images > images.train,
        "test_images": study.test_images is not None and study.test_images > images.test,
    }
    return study.model_copy(update={field: None for field, is_few in few.items() if is_few})


def arguments(figure: str, scale: str, data: str | None) -> str:
    """Return the arguments by which the command line names the study of a figure."""
    options = (f" --scale {scale}" if scale != "paper" else "") + (f" --data {shlex.quote(data)}" if data else "")
    return f"{PAPER}{figure}{options}"


def one_by_one(name: str, scale: str | None = None, data: str | None = None) -> int | None:
    """Return how many trainings paper:all needs if its figures share none; None for any other name."""
    if name != f"{PAPER}{figures.ALL}":
        return None
    return sum(_count(studies.study(one.id, scale or "paper", data)) for one in figures.FIGURES.values())


def _count(study: Study) -> int:
    # Which trainings are equal depends on the names of the datasets, not on their images.
    return len(plan(study, {dataset: dataset for dataset in study.datasets}).stages)
