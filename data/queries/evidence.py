"""Recorded results as evidence for the claims."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import ROLE, OneStudy
from engine.claims.evidence import OverlapPoint, Point


def evidence(database: Database, study_id: str) -> tuple[list[Point], list[OverlapPoint]]:
    """Return the measurements of a study so far; UnknownStudy for an unknown id."""
    study = OneStudy(study_id)
    return from_frames(
        queries.accuracy(database, study), queries.pooled_overlaps(database, study), queries.diverged(database, study)
    )


def from_frames(
    accuracy: pd.DataFrame, pooled: pd.DataFrame, diverged: pd.DataFrame | None = None
) -> tuple[list[Point], list[OverlapPoint]]:
    """Return the runs in frames with the columns of `data.queries.points`: accuracy, pooled_overlaps and diverged.

    A training that diverged, or whose row lacks an accuracy, is a point with NaN, which is compared with nothing. Of
    several rows with the same role the first counts; a training with several roles, such as two pruners, counts once
    for each. A missing mask or level is None.
    """
    of_point = (*ROLE, "test_accuracy", "fingerprint", "mask")
    measured = _rows(accuracy, (*of_point, "support_moved"), ROLE)
    points = [replace(Point(*values), moved=None if pd.isna(moved) else moved) for *values, moved in measured]
    if diverged is not None:
        lost = diverged.assign(test_accuracy=math.nan, mask=None)
        points += [Point(*values) for values in _rows(lost, of_point, ROLE)]
    place = (*ROLE, "pair", "p")
    return points, [OverlapPoint(*values) for values in _rows(pooled, (*place, "ratio", "level"), place)]


def _rows(frame: pd.DataFrame, names: tuple[str, ...], place: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return columns of a frame as rows, the first for each place."""
    frame = frame.drop_duplicates(list(place))
    columns = []
    for name in names:
        cells = frame[name].tolist()
        if name in ("pruner", "mask", "level"):
            # Missing values are NaN in some columns and None in others.
            cells = [None if cell != cell else cell for cell in cells]
        columns.append(cells)
    return list(zip(*columns, strict=True))
