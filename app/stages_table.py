"""The table of a study's stages: what each is, how it stands, how fast it goes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import words
from app.live import epochs_done
from tasks.telemetry import Progress

# What moves comes first, what is over last.
_ORDER = ("running", "failed", "cancelled", "queued", "waiting", "done")


def stage_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return by fingerprint what each stage is, in one line, without what all stages have in common.

    For example: 'fine-tune · iterative 90 % · learning rate 0.1 · seed 0'.
    """
    return {
        row.fingerprint: f"{what} · learning rate {words.number(row.learning_rate)} · seed {row.seed}"
        for row, what in zip(rows.itertuples(), _whats(rows), strict=True)
    }


def _whats(rows: pd.DataFrame) -> list[str]:
    several = rows["network"].nunique() > 1 or rows["dataset"].nunique() > 1
    return [_what(row) + (f" · {row.network} on {row.dataset}" if several else "") for row in rows.itertuples()]


def _what(row: Any) -> str:
    if row.kind == "pretrain":
        return "dense"
    if row.kind == "admm":
        return f"ADMM pruning to {words.percent(row.sparsity)}"
    pruners = [words.pruner(name).removesuffix(" magnitude") for name in row.pruners.split(", ") if name]
    # A stage that is no point of a chart only makes the next round's mask.
    means = words.listing(pruners) or "mask for the next round,"
    return f"{words.start(row.start)} · {means} {words.percent(row.sparsity)}"


def shown_table(
    rows: pd.DataFrame, now: Mapping[str, Progress], query: str | None = None, states: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the stages that match a search and are in one of some states (none chosen: any), as people read them."""
    trained = epochs_done(rows, now)
    live = [now.get(fingerprint) for fingerprint in rows["fingerprint"]]
    table = pd.DataFrame(
        {
            "State": rows["state"],
            "Stage": _whats(rows),
            "Learning rate": rows["learning_rate"],
            "Seed": rows["seed"],
            "Trained": (100 * trained / rows["epochs"]).round(),
            "Epoch": [f"{int(done):,} / {total:,}" for done, total in zip(trained, rows["epochs"], strict=True)],
            "Test accuracy (%)": [
                stage.test_accuracy if stage else recorded
                for stage, recorded in zip(live, rows["test_accuracy"], strict=True)
            ],
            "Epochs/s": [_speed(stage, row) for stage, row in zip(live, rows.itertuples(), strict=True)],
            "Time left": [_left(stage) for stage in live],
            "Worker": [
                stage.worker if stage else row.worker or "" for stage, row in zip(live, rows.itertuples(), strict=True)
            ],
            "Error": [(error or "").strip().rpartition("\n")[2] for error in rows["error"]],
        },
        index=rows.index,
    )
    if not table["Error"].any():
        table = table.drop(columns="Error")
    rank = table["State"].map({state: index for index, state in enumerate(_ORDER)})
    table = table.loc[rank.sort_values(kind="stable").index]
    names = stage_names(rows)
    text = table["State"] + " " + rows["fingerprint"].map(names) + " " + table["Worker"]
    found = pd.Series(
        [words.matches(query or "", line) for line in text.loc[table.index]], index=table.index, dtype=bool
    )
    return table[found & table["State"].isin(states)] if states else table[found]


def _speed(stage: Progress | None, row: Any) -> str:
    if stage is not None:
        return f"{stage.epochs_per_second:.3g}"
    if row.state == "done" and row.seconds and row.seconds > 0:
        return f"{row.epochs / row.seconds:.3g}"
    return ""


def _left(stage: Progress | None) -> str:
    if stage is None or stage.epochs_per_second <= 0:
        return ""
    return words.duration((stage.epochs - stage.epoch) / stage.epochs_per_second)
