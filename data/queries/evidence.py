"""Recorded results as the evidence that claims are judged by."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from data.database.database import Database
from data.queries import points as queries
from data.queries.selection import ROLE, OneStudy
from engine.claims.evidence import OverlapPoint, Point


def evidence(database: Database, study_id: str) -> tuple[list[Point], list[OverlapPoint]]:
    """Return what a study has measured so far; UnknownStudy where it is not recorded."""
    study = OneStudy(study_id)
    return from_frames(
        queries.accuracy(database, study), queries.pooled_overlaps(database, study), queries.diverged(database, study)
    )


def from_frames(
    accuracy: pd.DataFrame, pooled: pd.DataFrame, diverged: pd.DataFrame | None = None
) -> tuple[list[Point], list[OverlapPoint]]:
    """Return the runs in frames with the columns of `data.queries.points`: accuracy, pooled_overlaps and diverged.

    A training that diverged, or whose row of accuracy has no accuracy, is a point with NaN: it is listed, and compared
    with nothing. Of two rows with the same role one counts; a training with several roles, such as two pruners, counts
    once for each. A mask or level that a frame has no value for is None.
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
    """Return some columns of a frame as rows, one for each place: the first."""
    frame = frame.drop_duplicates(list(place))
    columns = []
    for name in names:
        cells = frame[name].tolist()
        if name in ("pruner", "mask", "level"):
            # What is missing is NaN in one column and None in another.
            cells = [None if cell != cell else cell for cell in cells]
        columns.append(cells)
    return list(zip(*columns, strict=True))
