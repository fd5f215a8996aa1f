"""The studies of this machine: those of the installation's database, and those in folders."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from app.charts.chart import parquet
from app.export.charts import Place, places
from data.artifacts.store import Artifacts
from data.database.database import Database, DatabaseBusy
from data.parquet import ARTIFACTS, SCHEMAS, TOML, tables_from_database
from data.queries import studies as queries
from data.queries.revision import revision
from data.queries.studies import StudyRecord, UnknownStudy
from data.settings import settings
from data.weights import choice as choices
from data.weights import saved
from data.weights.saved import SavedWeights, WeightsMissing
from engine.errors import UserError
from engine.study.spec import Study, parse_study
from ticketscope import bars
from ticketscope.from_tables import NOT_IN_TABLES, finished, places_from_tables
from ticketscope.results import AnyStudy, Progress

# The most studies that an error lists.
MOST_LISTED = 10
# Seconds between two looks at a study that is waited for.
LOOK = 1.0
ENDED = ("done", "failed", "cancelled")


class NothingHere(UserError):
    """Nothing was ever launched in this home."""


class NoStudyHere(UserError):
    """A place is no link of Ticketscope, and no folder with a study."""


def database() -> Database:
    """Return the database of this installation; NothingHere where there is none, which a reader must not make."""
    config = settings()
    if not config.database.exists():
        raise NothingHere(
            f"nothing was ever launched in {config.home}: it has no database. Set TICKETSCOPE_HOME to the home of the "
            "installation that you want to read before you import ticketscope, or begin with ticketscope.launch"
        )
    return Database(config.database)


def studies() -> pd.DataFrame:
    """Return all studies; see `ticketscope.studies`."""
    counts = ("stages", *queries.STATES)
    return queries.studies(database())[["study_id", "name", "note", "tags", "created_at", "state", *counts]]


def find(name: str) -> "RecordedStudy":
    """Return the study of a name or an id; see `ticketscope.study`."""
    rows = queries.studies(database())
    wanted, names, ids = name.casefold(), rows["name"].str.casefold(), rows["study_id"].str.casefold()
    matches = (ids == wanted, names == wanted, ids.str.startswith(wanted) | names.str.startswith(wanted))
    found = next((rows[match] for match in matches if wanted and match.any()), rows[:0])
    if len(found) == 1:
        return RecordedStudy(str(found["study_id"].iloc[0]))
    if len(found):
        raise UnknownStudy(f"{len(found)} studies are called {name!r}; give the id of one: {_listed(found)}")
    if rows.empty:
        raise UnknownStudy(f"no study is recorded in {settings().home}; ticketscope.launch queues one")
    raise UnknownStudy(
        f"no study has {name!r} for its name, its id or the beginning of either; there are {_listed(rows)}"
    )


def _listed(rows: pd.DataFrame) -> str:
    named = [
        f"{row['study_id']} ({row['name']}, {row['state']}, launched {row['created_at']:%Y-%m-%d %H:%M} UTC)"
        for row in rows.head(MOST_LISTED).to_dict("records")
    ]
    return ", ".join(named) + (f" and {len(rows) - MOST_LISTED} more" if len(rows) > MOST_LISTED else "")


class Trainable(AnyStudy):
    """A study that can be trained here, as it is or changed."""

    def launch(self, **changes: Any) -> "RecordedStudy":
        """Queue the study again, with other values of some fields, such as seeds; finished trainings are reused."""
        from ticketscope import training

        return RecordedStudy(training.queue(self._changed(changes), again=True))

    def run(self, out: str | Path, *, jobs: int = 1, device: str | None = None, **changes: Any) -> "FolderStudy":
        """Train the study here, with other values of some fields; the rest is as for `ticketscope.run`."""
        from ticketscope import training

        training.train(self._changed(changes), Path(out), jobs, device)
        return FolderStudy(Path(out))

    def _changed(self, changes: dict[str, Any]) -> Study:
        return parse_study({**self.settings.model_dump(), **changes}) if changes else self.settings


class RecordedStudy(Trainable):
    """A study of this installation's database."""

    def __init__(self, study_id: str) -> None:
        self.study_id = study_id
        self._made: tuple[tuple[int, ...], dict[str, bytes]] | None = None

    def __repr__(self) -> str:
        try:
            name, progress = self._about()
        except UserError as error:
            return f"<study {self.study_id}: {error}>"
        return f"<study {self.study_id} {name!r}: {progress}>"

    @property
    def toml(self) -> str:
        """The study as TOML, with its present name and note."""
        return self._record().toml

    def wait(self, seconds: float | None = None) -> "RecordedStudy":
        """Show a bar until the study has ended, at most some seconds, and return the study.

        An interruption ends the waiting and not the study. Raises UnknownStudy if the study is deleted meanwhile.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with bars.shown() as say:
            while True:
                progress = self._look()
                if progress is not None:
                    say(f"{self.study_id}: {progress}", progress.done, progress.trainings)
                    if progress.state in ENDED:
                        return self
                else:
                    say(f"{self.study_id}: waits for the recorder, which ticketscope up starts", 0, 0)
                if deadline is not None and time.monotonic() >= deadline:
                    return self
                time.sleep(LOOK)

    def _look(self) -> Progress | None:
        """Return how far the study is; None before its launch is recorded, and while others use the database."""
        if not settings().database.exists():
            return None
        try:
            return self.progress()
        except DatabaseBusy:
            return None
        except UnknownStudy:
            if self.study_id in set(queries.trash(database())["study_id"]):
                raise
            return None

    def _about(self) -> tuple[str, Progress]:
        record = self._record()
        return record.study.name, Progress(record.state, record.counts["done"], sum(record.counts.values()))

    def _record(self) -> StudyRecord:
        return queries.study(database(), self.study_id)

    def _parquet(self, name: str) -> bytes:
        source = database()
        # Making one table takes as long as making all, and results of a finished study do not change.
        now = revision(source, self.study_id).results
        if self._made is None or self._made[0] != now:
            tables = tables_from_database(source, self.study_id)
            self._made = now, {key: parquet(table) for key, table in tables.items()}
        return self._made[1][name]

    def _places(self) -> Sequence[Place]:
        return places(database(), self._record())

    def _weights(self, which: str, choice: dict[str, Any]) -> SavedWeights:
        config = settings()
        training = choices.find(database(), self.study_id, **choice)
        return saved.load(Artifacts(config.artifacts), training, which, config.home)


class FolderStudy(Trainable):
    """A study in a folder: study.toml, its tables as Parquet, and where it was trained, its weights."""

    _missing_charts = NOT_IN_TABLES

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = [TOML, *(f"{name}.parquet" for name in SCHEMAS)]
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise NoStudyHere(
                f"{folder} has no {missing[0]}; give a folder that ticketscope.run or ticketscope export wrote, or the "
                "address of a link, https://.../shared?share=..."
            )

    def __repr__(self) -> str:
        return f"<study {self.name!r} in {self.folder}: {self.progress()}>"

    @property
    def toml(self) -> str:
        """The study as TOML."""
        return (self.folder / TOML).read_text(encoding="utf-8")

    def _about(self) -> tuple[str, Progress]:
        # The tables of an export may be of a study that was still training.
        done, total = finished(self.settings, self.accuracy())
        return self.settings.name, Progress("done" if done == total else "unfinished", done, total)

    def _parquet(self, name: str) -> bytes:
        return (self.folder / f"{name}.parquet").read_bytes()

    def _places(self) -> Sequence[Place]:
        return places_from_tables(self.folder.name, self.settings, self.accuracy(), self.overlap())

    def _weights(self, which: str, choice: dict[str, Any]) -> SavedWeights:
        if not (self.folder / ARTIFACTS).is_dir():
            raise WeightsMissing(
                f"{self.folder} holds tables only, no weights; ticketscope.run saves weights beside them"
            )
        # Planning needs the images, by which stages are told apart.
        from tasks.studies.planning import plan_study

        rows = self.accuracy().astype(object)
        point = choices.pick(rows.where(rows.notna(), None).to_dict("records"), choice)
        stage = plan_study(self.settings, settings().home).stages.get(str(point["fingerprint"]))
        if stage is None:
            raise WeightsMissing(
                f"training {point['fingerprint']} of {self.folder} is not in the plan of its study.toml; other images "
                "or another version trained it"
            )
        training = choices.training(point, stage, "done", point["diverged_epoch"])
        return saved.load(Artifacts(str((self.folder / ARTIFACTS).resolve())), training, which, settings().home)
