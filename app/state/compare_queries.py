"""What the Compare page reads: several studies at once, kept until one of them has a new result.

Frames are those of `data.queries.points` and `data.queries.divergence`. They are handed out as they are kept, since
copying thousands of rows on every run would be felt: whoever takes one must not change it.
"""

import pandas as pd
import streamlit as st

from app.state import queries
from app.state.queries import KEEP, Marker
from data.queries import divergence, points
from data.queries.revision import results_revision
from data.queries.selection import Studies

Ids = tuple[str, ...]


def marker(study_ids: Ids) -> Marker:
    """Return what changes whenever one of some studies has a new result."""
    return _revision(study_ids, queries.marker())


def accuracy(study_ids: Ids) -> pd.DataFrame:
    """Return the accuracies of some studies; columns are those of `data.queries.points.accuracy`."""
    return _accuracy(study_ids, marker(study_ids))


def divergences(study_ids: Ids) -> pd.DataFrame:
    """Return the stages of some studies that diverged; columns are those of `data.queries.divergence.divergences`."""
    return _divergences(study_ids, marker(study_ids))


def pooled(study_ids: Ids, pairs: tuple[str, ...], p: float | None = None) -> pd.DataFrame:
    """Return overlaps of some pairs pooled over layers, at one p or all that the studies name."""
    return _pooled(study_ids, pairs, p, marker(study_ids))


def layers(study_ids: Ids) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) by layer; columns are those of `data.queries.points.overlaps`."""
    return _layers(study_ids, marker(study_ids))


def retention(study_ids: Ids) -> pd.DataFrame:
    """Return R_p(θ₀, θ_t) over training time; columns are those of `data.queries.points.retention`."""
    return _retention(study_ids, marker(study_ids))


def epochs(study_ids: Ids, fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs of some trainings; columns are those of `data.queries.points.epochs`."""
    return _epochs(study_ids, fingerprints, marker(study_ids))


@st.cache_data(ttl=KEEP, max_entries=32, show_spinner=False)
def _revision(study_ids: Ids, changed: Marker) -> Marker:
    del changed
    return results_revision(queries.store(), study_ids)


@st.cache_resource(ttl=KEEP, max_entries=8, show_spinner=False)
def _accuracy(study_ids: Ids, changed: Marker) -> pd.DataFrame:
    del changed
    return points.accuracy(queries.store(), Studies(study_ids))


@st.cache_resource(ttl=KEEP, max_entries=8, show_spinner=False)
def _divergences(study_ids: Ids, changed: Marker) -> pd.DataFrame:
    del changed
    return divergence.divergences(queries.store(), study_ids)


@st.cache_resource(ttl=KEEP, max_entries=16, show_spinner=False)
def _pooled(study_ids: Ids, pairs: tuple[str, ...], p: float | None, changed: Marker) -> pd.DataFrame:
    del changed
    return points.pooled_overlaps(queries.store(), Studies(study_ids), pairs, None if p is None else [p])


@st.cache_resource(ttl=KEEP, max_entries=4, show_spinner=False)
def _layers(study_ids: Ids, changed: Marker) -> pd.DataFrame:
    del changed
    return points.overlaps(queries.store(), Studies(study_ids), ["initial_pretrained"])


@st.cache_resource(ttl=KEEP, max_entries=8, show_spinner=False)
def _retention(study_ids: Ids, changed: Marker) -> pd.DataFrame:
    del changed
    return points.retention(queries.store(), Studies(study_ids))


@st.cache_resource(ttl=KEEP, max_entries=16, show_spinner=False)
def _epochs(study_ids: Ids, fingerprints: tuple[str, ...], changed: Marker) -> pd.DataFrame:
    del changed
    return points.epochs(queries.store(), Studies(study_ids), fingerprints)
