"""The table of a study's stages: name, state, progress and speed of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import words
from app.components.stage_names import column, kind_names, stage_names
from app.state.live import epochs_done
from data.queries.divergence import outcome
from data.queries.failures import reason
from tasks.queue.telemetry import LiveProgress
from tasks.studies.time_left import stage_seconds_left

# The order of the table's rows by state.
_ORDER = ("running", "failed", "blocked", "cancelled", "queued", "waiting", "done")


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
        )
        matches = [
            words.matches(query, f"{state} {outcome} {names[fingerprint]} {worker}")
            for state, outcome, fingerprint, worker in zip(*columns, strict=True)
        ]
        selected = selected[pd.Series(matches, index=selected.index, dtype=bool)]
    rank = selected["state"].map({state: index for index, state in enumerate(_ORDER)})
    return selected.loc[rank.sort_values(kind="stable").index]


def stage_table(rows: pd.DataFrame, now: Mapping[str, LiveProgress], with_network: bool = False) -> pd.DataFrame:
    """Return the table's columns for some stages; with_network: the names of stages include network and dataset."""
    # A stage that diverged is done, but not all of its epochs were trained.
    trained = epochs_done(rows, now).where(rows["diverged"].isna(), rows["epoch"]).astype(float)
    live = [now.get(fingerprint) for fingerprint in column(rows, "fingerprint")]
    table = pd.DataFrame(
        {
            "State": rows["state"],
            "Stage": kind_names(rows, with_network),
            "Learning rate": rows["learning_rate"],
            "Seed": rows["seed"],
            "Trained": (100 * trained / rows["epochs"]).round(),
            "Epoch": [f"{int(done):,} / {total:,}" for done, total in zip(trained, rows["epochs"], strict=True)],
            "Test accuracy (%)": [
                stage.test_accuracy if stage else recorded
                for stage, recorded in zip(live, rows["test_accuracy"].where(rows["diverged"].isna()), strict=True)
            ],
            "Outcome": _outcomes(rows),
            "Epochs/s": [_speed(stage, row) for stage, row in zip(live, rows.itertuples(), strict=True)],
            "Time left": [_left(stage) for stage in live],
            "Worker": _workers(rows, now),
            "Error": [reason(error) if error else "" for error in rows["error"]],
        },
        index=rows.index,
    )
    return table.drop(columns=[name for name in ("Outcome", "Error") if not table[name].any()])


def _outcomes(rows: pd.DataFrame) -> list[str]:
    return ["" if pd.isna(at) else outcome(int(at)) for at in column(rows, "diverged")]


def _workers(rows: pd.DataFrame, now: Mapping[str, LiveProgress]) -> list[str]:
    return [
        (now[fingerprint].worker if fingerprint in now else "") or worker or ""
        for fingerprint, worker in zip(column(rows, "fingerprint"), column(rows, "worker"), strict=True)
    ]


def _speed(stage: LiveProgress | None, row: Any) -> str:
    if stage is not None:
        return f"{stage.epochs_per_second:.3g}"
    if row.state == "done" and pd.isna(row.diverged) and row.seconds and row.seconds > 0:
        return f"{row.epochs / row.seconds:.3g}"
    return ""


def _left(stage: LiveProgress | None) -> str:
    seconds = None if stage is None else stage_seconds_left(stage)
    return "" if seconds is None else words.duration(seconds)
