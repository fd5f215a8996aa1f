"""Ticketscope from a notebook or a script: `import ticketscope as ts`, as docs/notebooks.md describes."""

# No call leaves the database open, so that a notebook that runs for days keeps nothing from being recorded.

from pathlib import Path
from typing import TYPE_CHECKING

from data.plugins import loading as plugins
from data.settings import settings
from engine.errors import UserError as Error
from engine.study.recipe import Admm, Recipe
from engine.study.spec import Part, Study

if TYPE_CHECKING:
    import pandas as pd

    from ticketscope.link import SharedStudy
    from ticketscope.local import FolderStudy, RecordedStudy
    from ticketscope.results import AnyStudy

__all__ = ["Admm", "Error", "Part", "Recipe", "Study", "launch", "open", "run", "studies", "study"]

# Plugins add networks, pruners, starts and datasets, which a study may name from the first line on.
# Modules that are slow to import are imported by the functions that need them.
plugins.load(settings())


def studies() -> "pd.DataFrame":
    """Return all studies of this installation that are not in the Trash, the latest first.

    Columns: study_id, name, note, tags, created_at (UTC), state, stages, and numbers of stages by state. Raises
    NothingHere where nothing was launched yet.
    """
    from ticketscope import local

    return local.studies()


def study(name: str) -> "RecordedStudy":
    """Return the study of a name, of an id, or of the beginning of either; upper and lower case are alike.

    Raises UnknownStudy, with the choices, where there is none or more than one, and NothingHere.
    """
    from ticketscope import local

    return local.find(name)


def launch(study: "Study | AnyStudy | str | Path", *, again: bool = False) -> "RecordedStudy":
    """Queue a study for the workers, and return it.

    study: a `Study`, a TOML file or its text, "demo", "paper:<id>", or a study that was read before. An equal study of
    the last minute is returned in place of a new one, unless `again`. Raises StudyError for a faulty study, and
    BrokerError if the queue does not answer.
    """
    from ticketscope import training
    from ticketscope.local import RecordedStudy

    return RecordedStudy(training.queue(study, again))


def run(
    study: "Study | AnyStudy | str | Path", out: str | Path, *, jobs: int = 1, device: str | None = None
) -> "FolderStudy":
    """Train a study here, without queue and database, and return it; a second call goes on where the first stopped.

    study: as for `launch`. out: the folder for tables, and below it for weights. jobs: processes; one trains in this
    process. device: auto, cpu, cuda or one GPU such as cuda:0; by default TICKETSCOPE_DEVICE. Raises StageFailed if a
    training failed, and KeyboardInterrupt if it was interrupted.
    """
    from ticketscope import training
    from ticketscope.local import FolderStudy

    training.train(study, Path(out), jobs, device)
    return FolderStudy(Path(out))


def open(place: str | Path, study: str | None = None) -> "SharedStudy | FolderStudy":
    """Return what a link shows, or the study in a folder that `run` or `ticketscope export` wrote.

    place: the address that *Share* made, `https://.../shared?share=...`, or a folder. study: the name or id of one
    study of a link that shows several. Raises LinkError if the link shows nothing or its server does not answer, and
    NoStudyHere for another place.
    """
    from ticketscope import link

    return link.open_place(place, study)
