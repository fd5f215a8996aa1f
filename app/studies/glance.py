"""What the list shows of a study's results: its answer in miniature, the verdicts, and how long it still takes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from app.answer import miniature
from app.components import verdict_cards
from app.state import live, queries
from app.state.cache import Marker
from app.study.stages_table import snapshot
from data.queries import points
from data.queries.evidence import from_frames
from data.queries.selection import ROLE, Studies
from data.settings import settings
from engine.claims import evaluate

# Seconds that one look takes.
BUDGET = 0.25
# How many studies are read at once: few take about as long as one, and large ones much longer.
AT_ONCE = 4
# The most studies whose glance is cached.
MOST = 2_000


@dataclass(frozen=True)
class Glance:
    """A study's answer in miniature as HTML, and its verdicts as badges; both empty before there are results."""

    image: str = ""
    badges: str = ""


# The latest glance of each study, by database and id, with the marker of the results that it was made from.
_known: OrderedDict[tuple[Path, str], tuple[Marker, Glance]] = OrderedDict()
_lock = threading.Lock()


def known(study_ids: Sequence[str]) -> tuple[dict[str, Glance], tuple[str, ...]]:
    """Return the glances that are known, and the ids of the studies that `look` has not seen as they are now.

    Only owners see the list, so that a glance is the same for all who look.
    """
    found: dict[str, Glance] = {}
    missing = []
    for study_id, marker in queries.results_markers(tuple(study_ids)).items():
        with _lock:
            seen = _known.get((settings().database, study_id))
        if seen:
            found[study_id] = seen[1]
        if seen is None or seen[0] != marker:
            missing.append(study_id)
    return found, tuple(missing)


def look(study_ids: Sequence[str]) -> None:
    """Look at the results of studies, of as many as BUDGET allows and of one at least."""
    began = time.monotonic()
    markers = queries.results_markers(tuple(study_ids))
    for first in range(0, len(study_ids), AT_ONCE):
        for study_id, glance in _glances(study_ids[first : first + AT_ONCE]):
            with _lock:
                _known[settings().database, study_id] = markers.get(study_id, ()), glance
                _known.move_to_end((settings().database, study_id))
                if len(_known) > MOST:
                    _known.popitem(last=False)
            if time.monotonic() - began > BUDGET:
                return


def _glances(study_ids: Sequence[str]) -> Iterator[tuple[str, Glance]]:
    database, selection = queries.database(), Studies(study_ids)
    accuracy, overlaps, diverged = (
        dict(tuple(rows.groupby("study_id")))
        for rows in (
            points.accuracy(database, selection),
            points.pooled_overlaps(database, selection),
            points.diverged(database, selection),
        )
    )
    for study_id in study_ids:
        rows = accuracy.get(study_id)
        yield study_id, Glance() if rows is None else _glance(rows, overlaps.get(study_id), diverged.get(study_id))


def _glance(accuracy: pd.DataFrame, overlaps: pd.DataFrame | None, diverged: pd.DataFrame | None) -> Glance:
    # The Overview shows this dataset and network at first.
    dataset, network = accuracy["dataset"].min(), accuracy["network"].min()
    rows, pooled, lost = (
        None if frame is None else frame[(frame["dataset"] == dataset) & (frame["network"] == network)]
        for frame in (accuracy, overlaps, diverged)
    )
    none = pd.DataFrame(columns=[*ROLE, "fingerprint", "pair", "p", "ratio", "level"])
    judged = evaluate(*from_frames(rows, none if pooled is None else pooled, lost))
    return Glance(miniature.image(rows), verdict_cards.badges(judged))


def training(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """Return the fraction of a running study's epochs that is trained, and the seconds left if they are known."""
    stages = queries.stages(row["study_id"])
    now, _ = live.progress(tuple(stages["fingerprint"]))
    shown = snapshot(row["study_id"], tuple(now.items()), live.places(stages))
    return shown.fraction, shown.left
