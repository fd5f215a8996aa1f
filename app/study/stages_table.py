"""A study's stages at one moment: how many are in which state, and a table with progress and speed of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from app import words
from app.components.stage_names import column, kind_names, stage_names
from app.state import live, queries
from app.state.cache import cached
from app.state.live import epochs_done
from data.queries.divergence import outcome
from data.queries.failures import blocked, reason, with_blocked
from data.settings import settings
from tasks.queue.telemetry import LiveProgress
from tasks.studies import time_left
from tasks.studies.planning import epoch_seconds
from tasks.studies.recent_speed import Key
from tasks.studies.time_left import Places, stage_seconds_left

# Seconds for which the estimate of speeds that are not measured yet is cached.
PLANNED_FOR = 60.0

# The progress of each stage in training, by fingerprint.
Now = tuple[tuple[str, LiveProgress], ...]

# The order of the table's rows by state.
_ORDER = ("running", "failed", "blocked", "cancelled", "queued", "waiting", "done")


@dataclass(frozen=True)
class Snapshot:
    """All that a page says of a study's progress at one moment, so that no number contradicts another.

    rows: as from `data.queries.studies.stages`, which no caller may change, with the state "blocked" for stages that
    wait for a failed one, and "running" for those that Redis has in training, since the database may be a second
    behind. counts: of these states. fraction: of the study's epochs that are trained, 0 to 1. left: seconds, None
    while they are not known.
    """

    rows: pd.DataFrame
    now: Now
    counts: Mapping[str, int]
    fraction: float
    reused: int
    left: float | None

    @property
    def percent(self) -> int:
        """The percentage of trained epochs; 100 only if every stage is done."""
        return 100 if self.counts["done"] == len(self.rows) else min(99, int(100 * self.fraction))


# Computed once for all who look: a page of many viewers would spend its time on this otherwise.
@cached(queries.state_marker, max_entries=8, shared=True)
def snapshot(study_id: str, now: Now = (), places: Places | None = None) -> Snapshot:
    """Return a study's stages as they are; places: as from `live.places`, None without an estimate of the time left."""
    recorded, running = queries.stages(study_id), dict(now)
    rows = with_blocked(recorded, blocked(recorded))
    in_training = rows["fingerprint"].isin(running) & rows["state"].isin(("queued", "waiting"))
    rows = rows.assign(state=rows["state"].mask(in_training, "running"))
    found = rows["state"].value_counts()
    left = None
    if places is not None:
        left = time_left.seconds_left(recorded, running, places, lambda: _planned(study_id))
    return Snapshot(
        rows=rows,
        now=now,
        counts={state: int(found.get(state, 0)) for state in _ORDER},
        fraction=live.fraction(rows, running),
        reused=int(rows["reused"].sum()),
        left=left,
    )


@cached(max_entries=32, ttl=PLANNED_FOR)
def _planned(study_id: str) -> dict[Key, float]:
    """Return the estimated seconds per epoch of a study's kinds of training."""
    return epoch_seconds(settings(), queries.database(), study_id)


def matching(
    rows: pd.DataFrame, now: Mapping[str, LiveProgress], query: str | None = None, states: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the stages that match a search and are in one of some states, running ones first; states: () for all."""
    selected = rows[rows["state"].isin(states)] if states else rows
    if query and query.strip():
        names = stage_names(rows)
        columns = (
            column(selected, "state"),
            _outcomes(selected),
            column(selected, "fingerprint"),
            _workers(selected, now),
            _labs(selected),
        )
        matches = [
            words.matches(query, f"{state} {outcome} {names[fingerprint]} {worker} {lab}")
            for state, outcome, fingerprint, worker, lab in zip(*columns, strict=True)
        ]
        selected = selected[pd.Series(matches, index=selected.index, dtype=bool)]
    rank = selected["state"].map({state: index for index, state in enumerate(_ORDER)})
    return selected.loc[rank.sort_values(kind="stable").index]


def stage_table(rows: pd.DataFrame, now: Mapping[str, LiveProgress], with_network: bool = False) -> pd.DataFrame:
    """Return the table's columns for some stages; with_network: the names of stages include network and dataset."""
    # A stage that diverged is done, but not all of its epochs were trained.
    trained = epochs_done(rows, now).where(rows["diverged"].isna(), rows["epoch"]).astype(float)
    progress = [now.get(fingerprint) for fingerprint in column(rows, "fingerprint")]
    table = pd.DataFrame(
        {
            "State": rows["state"],
            "Stage": kind_names(rows, with_network),
            "Learning rate": rows["learning_rate"],
            "Seed": rows["seed"],
            "Trained": (100 * trained / rows["epochs"]).round(),
            "Epoch": trained.astype(int),
            "of": rows["epochs"],
            "Test accuracy (%)": [
                stage.test_accuracy if stage else recorded
                for stage, recorded in zip(progress, rows["test_accuracy"].where(rows["diverged"].isna()), strict=True)
            ],
            "Outcome": _outcomes(rows),
            "Epochs/s": pd.Series(
                [_speed(stage, row) for stage, row in zip(progress, rows.itertuples(), strict=True)], rows.index, float
            ),
            "Time left": pd.Series([_left(stage) for stage in progress], rows.index, "timedelta64[s]"),
            "Worker": _workers(rows, now),
            "Imported from": _labs(rows),
            "Error": [reason(error) if error else "" for error in rows["error"]],
        },
        index=rows.index,
    )
    return table.drop(columns=[name for name in ("Outcome", "Imported from", "Error") if not table[name].any()])


def _outcomes(rows: pd.DataFrame) -> list[str]:
    return ["" if pd.isna(at) else outcome(int(at)) for at in column(rows, "diverged")]


def _workers(rows: pd.DataFrame, now: Mapping[str, LiveProgress]) -> list[str]:
    return [
        (now[fingerprint].worker if fingerprint in now else "") or worker or ""
        for fingerprint, worker in zip(column(rows, "fingerprint"), column(rows, "worker"), strict=True)
    ]


def _labs(rows: pd.DataFrame) -> list[str]:
    """Return where each imported result comes from, \"\" for others."""
    imported = zip(column(rows, "lab"), column(rows, "imported_at"), strict=True)
    return ["" if pd.isna(at) else lab or "elsewhere" for lab, at in imported]


def _speed(stage: LiveProgress | None, row: Any) -> float | None:
    if stage is not None:
        return stage.epochs_per_second
    if row.state == "done" and pd.isna(row.diverged) and row.seconds and row.seconds > 0:
        return float(row.epochs / row.seconds)
    return None


def _left(stage: LiveProgress | None) -> pd.Timedelta:
    seconds = None if stage is None else stage_seconds_left(stage)
    return pd.NaT if seconds is None else pd.Timedelta(seconds=round(seconds))
