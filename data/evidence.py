"""From recorded results to what claims are held against."""

from typing import Any

import pandas as pd

from data import queries
from data.store import Store
from engine.evidence import OverlapPoint, Point

_POINT = ("dataset", "network", "learning_rate", "seed", "pruner", "sparsity", "start")


def evidence(store: Store, study_id: str) -> tuple[list[Point], list[OverlapPoint]]:
    """Return what a study has measured so far; UnknownStudy where it is not recorded."""
    return from_frames(queries.accuracy(store, study_id), queries.pooled_overlaps(store, study_id))


def from_frames(accuracy: pd.DataFrame, pooled: pd.DataFrame) -> tuple[list[Point], list[OverlapPoint]]:
    """Return the runs in frames with the columns of `data.queries.accuracy` and `data.queries.pooled_overlaps`.

    Where the last epoch has no accuracy the point has NaN.
    """
    points = [Point(*values) for values in _rows(accuracy, (*_POINT, "test_accuracy"))]
    return points, [OverlapPoint(*values) for values in _rows(pooled, (*_POINT, "pair", "p", "ratio"))]


def _rows(frame: pd.DataFrame, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    columns = []
    for name in names:
        cells = frame[name].tolist()
        if name == "pruner":
            cells = [cell if isinstance(cell, str) else None for cell in cells]
        columns.append(cells)
    return list(zip(*columns, strict=True))
