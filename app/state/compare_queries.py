"""Queries of several studies for the Compare page, cached until one of the studies has a new result.

All callers share one frame, since copying thousands of rows on every run is slow: a caller must not change it.
"""

import pandas as pd

from app.state import queries
from app.state.cache import Marker, cached
from data.queries import divergence, points
from data.queries.revision import results_revision
from data.queries.selection import Studies

Ids = tuple[str, ...]


@cached(queries.marker, max_entries=32)
def marker(study_ids: Ids) -> Marker:
    """Return a marker that changes whenever one of the studies has a new result."""
    return results_revision(queries.database(), study_ids)


@cached(marker, max_entries=8, shared=True)
def accuracy(study_ids: Ids) -> pd.DataFrame:
    """Return the accuracies of some studies; columns are those of `data.queries.points.accuracy`."""
    return points.accuracy(queries.database(), Studies(study_ids))


@cached(marker, max_entries=8, shared=True)
def divergences(study_ids: Ids) -> pd.DataFrame:
    """Return the stages of some studies that diverged; columns are those of `data.queries.divergence.divergences`."""
    return divergence.divergences(queries.database(), study_ids)


@cached(marker, max_entries=16, shared=True)
def pooled(study_ids: Ids, pairs: tuple[str, ...], p: float | None = None) -> pd.DataFrame:
    """Return overlaps pooled over layers, of some pairs of networks, at one p or at all that the studies list."""
    return points.pooled_overlaps(queries.database(), Studies(study_ids), pairs, None if p is None else [p])


@cached(marker, max_entries=4, shared=True)
def layers(study_ids: Ids) -> pd.DataFrame:
    """Return R_p(θ₀, θ_T) by layer; columns are those of `data.queries.points.overlaps`."""
    return points.overlaps(queries.database(), Studies(study_ids), ["initial_pretrained"])


@cached(marker, max_entries=8, shared=True)
def retention(study_ids: Ids) -> pd.DataFrame:
    """Return R_p(θ₀, θ_t) over training time; columns are those of `data.queries.points.retention`."""
    return points.retention(queries.database(), Studies(study_ids))


@cached(marker, max_entries=16, shared=True)
def epochs(study_ids: Ids, fingerprints: tuple[str, ...]) -> pd.DataFrame:
    """Return the epochs of some trainings; columns are those of `data.queries.points.epochs`."""
    return points.epochs(queries.database(), Studies(study_ids), fingerprints)
