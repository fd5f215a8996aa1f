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
