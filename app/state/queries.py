"""What the pages read: queries of the store, kept until what they read changes."""

from functools import lru_cache
from pathlib import Path

import pandas as pd
import streamlit as st

from data.database.database import Database
from data.queries import divergence, points
from data.queries import studies as queries
from data.queries.revision import Revision, revision
from data.queries.selection import OneStudy
from data.queries.studies import StudyRecord
from data.settings import settings

FINISHED = ("done", "failed", "cancelled")

# Queries are kept while what they read stays as it is, and dropped after this long unused.
KEEP = "10min"

Marker = tuple[int | str, ...]


def store() -> Database:
    """Return the store of this installation."""
    return _store(settings().database)


@lru_cache(maxsize=1)
def _store(path: Path) -> Database:
    # One for all, since the first access through a store looks whether its tables are up to date, alone in the file.
    return Database(path)


def exists() -> bool:
    """Return whether anything was ever recorded here."""
    return settings().database.exists()


@st.cache_data(ttl=1.0, show_spinner=False)
def marker() -> Marker:
    """Return what changes whenever the database file does, without opening it; at most once a second.

    So all that one run of a page reads is of one state, and a study in full swing is not read anew for every chart.
    """
    found: list[int] = []
    for suffix in ("", ".wal"):
        path = settings().database.with_name(settings().database.name + suffix)
        if path.exists():
            state = path.stat()
            found += [state.st_mtime_ns, state.st_size]
    return tuple(found)


def measured(study_id: str) -> Marker:
    """Return what changes whenever a study has a new result, and only then.

    While anything trains, the file changes every second. What is made of a study's results alone is kept by this.
    """
    return _revision(study_id, marker()).results


def standing(study_id: str) -> Marker:
    """Return what changes whenever a study stands otherwise: with every epoch while it trains, else hardly ever."""
    found = _revision(study_id, marker())
    return marker() if found.running else (*found.results, *found.states)


def studies() -> pd.DataFrame:
    """Return all studies, newest first; columns are those of `data.queries.studies.studies`."""
    return _studies(marker()).sort_values("created_at", ascending=False)


def study(study_id: str) -> StudyRecord:
    """Return one study; UnknownStudy says that it is not recorded."""
    return _study(study_id, standing(study_id))


def stages(study_id: str) -> pd.DataFrame:
    """Return a study's stages; columns are those of `data.queries.studies.stages`."""
    return _stages(study_id, standing(study_id))


def accuracy(study_id: str) -> pd.DataFrame:
    """Return a study's accuracies; columns are those of `data.queries.points.accuracy`."""
    return _accuracy(study_id, measured(study_id))


def diverged(study_id: str) -> pd.DataFrame:
    """Return the points of a study that diverged; columns are those of `data.queries.points.diverged`."""
    return _diverged(study_id, measured(study_id))


def divergences(study_id: str) -> pd.DataFrame:
    """Return the stages of a study that diverged; columns are those of `data.queries.divergence.divergences`."""
    return _divergences(study_id, measured(study_id))


def epochs(study_id: str, fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs of some of a study's stages; columns are those of `data.queries.points.epochs`."""
    return _epochs(study_id, fingerprints, standing(study_id))


def overlaps(study_id: str) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) by layer; columns are those of `data.queries.points.overlaps`."""
    return _overlaps(study_id, measured(study_id))


def pooled_overlaps(study_id: str) -> pd.DataFrame:
    """Return a study's overlaps pooled over layers; columns are those of `data.queries.points.pooled_overlaps`."""
    return _pooled(study_id, measured(study_id))


def residuals(study_id: str) -> pd.DataFrame:
    """Return ADMM's residuals; columns are those of `data.queries.studies.residuals`."""
    return _residuals(study_id, measured(study_id))


def supports(study_id: str) -> pd.DataFrame:
    """Return how ADMM's masks differ from one-shot's; columns are those of `data.queries.studies.supports`."""
    return _supports(study_id, measured(study_id))


def studies_of(fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return which studies some stages belong to; columns are those of `data.queries.studies.studies_of`."""
    return _studies_of(fingerprints, marker())


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _studies_of(fingerprints: tuple[str, ...], changed: Marker) -> pd.DataFrame:
    del changed
    return queries.studies_of(store(), fingerprints)


@st.cache_data(ttl=KEEP, max_entries=32, show_spinner=False)
def _revision(study_id: str, changed: Marker) -> Revision:
    del changed
    return revision(store(), study_id)


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _supports(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return queries.supports(store(), study_id)


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _residuals(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return queries.residuals(store(), study_id)


@st.cache_data(ttl=KEEP, max_entries=4, show_spinner=False)
def _studies(changed: Marker) -> pd.DataFrame:
    del changed
    return queries.studies(store())


@st.cache_data(ttl=KEEP, max_entries=32, show_spinner=False)
def _study(study_id: str, changed: Marker) -> StudyRecord:
    del changed
    return queries.study(store(), study_id)


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _stages(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return queries.stages(store(), study_id)


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _accuracy(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return points.accuracy(store(), OneStudy(study_id))


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _diverged(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return points.diverged(store(), OneStudy(study_id))


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _divergences(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return divergence.divergences(store(), [study_id])


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _epochs(study_id: str, fingerprints: tuple[str, ...], changed: Marker) -> pd.DataFrame:
    del changed
    return points.epochs(store(), OneStudy(study_id), fingerprints)


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _overlaps(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return points.overlaps(store(), OneStudy(study_id), ("initial_pretrained",))


@st.cache_data(ttl=KEEP, max_entries=8, show_spinner=False)
def _pooled(study_id: str, changed: Marker) -> pd.DataFrame:
    del changed
    return points.pooled_overlaps(store(), OneStudy(study_id))
