"""Why stages of a study failed, in sentences."""

import builtins
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Failure:
    """Stages that failed for one reason; first: the row of the one that failed first."""

    reason: str
    count: int
    first: dict[str, Any]


def reason(error: object) -> str:
    """Return the sentence in the error of a stage: its first line, without the name of a class of Ticketscope's."""
    # Of rows without an error, some have None and some NaN.
    text = error.strip() if isinstance(error, str) else ""
    line = text.partition("\n")[0].rstrip() or "no reason was recorded"
    name, colon, sentence = line.partition(": ")
    is_class = re.fullmatch(r"[A-Za-z_][\w.]*", name) and not hasattr(builtins, name)
    return (sentence if colon and is_class else line).removesuffix(":")


def failures(stages: pd.DataFrame) -> list[Failure]:
    """Return why stages failed, the first failure first; stages: rows of `data.queries.studies.stages`."""
    failed = stages[stages["state"] == "failed"].sort_values("finished_at", kind="stable", na_position="last")
    rows = failed.to_dict("records")
    reasons = [reason(row["error"]) for row in rows]
    first = dict(zip(reversed(reasons), reversed(rows), strict=True))
    return [
        Failure(why, count, {str(name): value for name, value in first[why].items()})
        for why, count in Counter(reasons).items()
    ]


def blocked(stages: pd.DataFrame) -> frozenset[str]:
    """Return the fingerprints of waiting stages that no worker can train, since a stage that they build on has failed.

    stages: rows of `data.queries.studies.stages`, parents before children. A retry of the failed stage frees them.
    """
    stopped: set[str] = set()
    found: set[str] = set()
    # Iterating over a column of pandas takes ten times as long, which is slow for thousands of stages.
    columns = (stages[name].to_numpy(dtype=object) for name in ("fingerprint", "parent", "state"))
    for fingerprint, parent, state in zip(*columns, strict=True):
        if state == "failed":
            stopped.add(fingerprint)
        elif state == "waiting" and parent in stopped:
            stopped.add(fingerprint)
            found.add(fingerprint)
    return frozenset(found)


def with_blocked(stages: pd.DataFrame, found: frozenset[str]) -> pd.DataFrame:
    """Return stages with the state "blocked" in place of "waiting" for some fingerprints."""
    return stages.assign(state=stages["state"].mask(stages["fingerprint"].isin(found), "blocked")) if found else stages


def shown_counts(counts: dict[str, int], number_blocked: int) -> dict[str, int]:
    """Return the number of stages by state, with the blocked ones apart from those that only wait."""
    return {**counts, "waiting": counts["waiting"] - number_blocked, "blocked": number_blocked}
