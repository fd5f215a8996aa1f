"""Queries of the database for the pages, cached until the data behind them changes."""

import pandas as pd

from app import words
from app.state import audience
from app.state.cache import Marker, cached
from data.database.database import Database
from data.queries import divergence, launches, points, results
from data.queries import studies as queries
from data.queries.revision import Revision, results_revisions, revision
from data.queries.selection import OneStudy
from data.queries.studies import StudyRecord
from data.settings import settings

FINISHED = ("done", "failed", "cancelled")


def database() -> Database:
    """Return the database of this installation, as this visitor may read it."""
    return audience.database()


def exists() -> bool:
    """Return whether this installation has a database, and so a recorded study."""
    return settings().database.exists()


def marker() -> Marker:
    """Return a marker that changes whenever the database file does, at most once a second.

    Within that second, all charts of a page show the same state, and none of them reads the study again.
    """
    return _stamps(_looks)


# How often `look_again` was called.
_looks = 0


def look_again() -> None:
    """Let pages show at once what was just written, within that second too."""
    global _looks
    _looks += 1


@cached(ttl=1.0)
def _stamps(looks: int) -> Marker:
    del looks
    stamps: list[int] = []
    for suffix in ("", ".wal"):
        path = settings().database.with_name(settings().database.name + suffix)
        if path.exists():
            status = path.stat()
            stamps += [status.st_mtime_ns, status.st_size]
    return tuple(stamps)


@cached(marker, max_entries=32)
def _revision(study_id: str) -> Revision:
    return revision(database(), study_id)


def results_marker(study_id: str) -> Marker:
    """Return a marker that changes whenever a study has a new result, and only then.

    It suits queries of results alone, since the file itself changes every second while anything trains.
    """
    return _revision(study_id).results


def state_marker(study_id: str) -> Marker:
    """Return a marker that changes with the state of a study: with the file while it trains, else hardly ever."""
    latest = _revision(study_id)
    return marker() if latest.running else (*latest.results, *latest.states)


@cached(marker, max_entries=4)
def studies() -> pd.DataFrame:
    """Return all studies, the latest first; columns are those of `data.queries.studies.studies`."""
    return queries.studies(database())


@cached(marker, max_entries=2)
def trash() -> pd.DataFrame:
    """Return the studies in the Trash; columns are those of `data.queries.studies.trash`."""
    return queries.trash(database())


@cached(marker, max_entries=8, shared=True)
def results_markers(study_ids: tuple[str, ...]) -> dict[str, Marker]:
    """Return of each of some studies what `results_marker` does, with one query for all."""
    return results_revisions(database(), study_ids)


@cached(state_marker, max_entries=32)
def study(study_id: str) -> StudyRecord:
    """Return one study; UnknownStudy if it is not recorded."""
    return queries.study(database(), study_id)


def why_missing(study_id: str) -> str:
    """Return in Markdown why a study is not shown: it is in the Trash, was deleted, or never was recorded here."""
    if exists() and study_id in set(trash()["study_id"]):
        return audience.TRASHED
    if exists() and study_id in _deleted():
        return audience.DELETED
    name = words.plain(repr(study_id))
    return f"No study {name} is recorded here: the address may be cut, or from another installation."


@cached(marker, max_entries=1)
def _deleted() -> set[str]:
    return launches.deleted(database())


@cached(state_marker, max_entries=8, shared=True)
def stages(study_id: str) -> pd.DataFrame:
    """Return a study's stages, which no caller may change; columns are those of `data.queries.studies.stages`."""
    return queries.stages(database(), study_id)


@cached(state_marker, max_entries=8)
def origins(study_id: str) -> pd.DataFrame:
    """Return where a study's imported results come from; columns are those of `data.queries.results.origins`."""
    return results.origins(database(), study_id)


@cached(results_marker, max_entries=8)
def accuracy(study_id: str) -> pd.DataFrame:
    """Return a study's accuracies; columns are those of `data.queries.points.accuracy`."""
    return points.accuracy(database(), OneStudy(study_id))


@cached(results_marker, max_entries=8)
def diverged(study_id: str) -> pd.DataFrame:
    """Return the points of a study that diverged; columns are those of `data.queries.points.diverged`."""
    return points.diverged(database(), OneStudy(study_id))


@cached(results_marker, max_entries=8)
def divergences(study_id: str) -> pd.DataFrame:
    """Return the stages of a study that diverged; columns are those of `data.queries.divergence.divergences`."""
    return divergence.divergences(database(), [study_id])


@cached(state_marker, max_entries=8)
def epochs(study_id: str, fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs of some of a study's stages; columns are those of `data.queries.points.epochs`."""
    return points.epochs(database(), OneStudy(study_id), fingerprints)


@cached(results_marker, max_entries=8)
def overlaps(study_id: str) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) by layer; columns are those of `data.queries.points.overlaps`."""
    return points.overlaps(database(), OneStudy(study_id), ("initial_pretrained",))


@cached(results_marker, max_entries=8)
def pooled_overlaps(study_id: str) -> pd.DataFrame:
    """Return a study's overlaps pooled over layers; columns are those of `data.queries.points.pooled_overlaps`."""
    return points.pooled_overlaps(database(), OneStudy(study_id))


@cached(results_marker, max_entries=8)
def residuals(study_id: str) -> pd.DataFrame:
    """Return ADMM's residuals; columns are those of `data.queries.studies.residuals`."""
    return queries.residuals(database(), study_id)


@cached(results_marker, max_entries=8)
def supports(study_id: str) -> pd.DataFrame:
    """Return how ADMM's masks differ from one-shot's; columns are those of `data.queries.studies.supports`."""
    return queries.supports(database(), study_id)


@cached(marker, max_entries=8)
def studies_of(fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return which studies some stages belong to; columns are those of `data.queries.studies.studies_of`."""
    return queries.studies_of(database(), fingerprints)
