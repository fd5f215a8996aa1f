"""What one chart is saved as: a picture, and the exact numbers that it draws."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from app.charts.picture import Legend, Spec, standalone

PARQUET = "application/vnd.apache.parquet"


# Characters of one part of a file's name; systems allow 255 in all.
LONGEST_WORD = 48


@dataclass(frozen=True)
class Saving:
    """What a chart is saved as, which the page says around it.

    name: of the files, <study_id>-<chart>, without ending. title, about: the heading of the picture and the line below
    it. numbers: gives the rows that the chart draws; called when they are asked for, in a thread without a page, so it
    may keep frames but not call Streamlit. legend: what the page's legend says.
    """

    name: str
    title: str
    numbers: Callable[[], pd.DataFrame]
    about: str = ""
    legend: Legend | None = None


def file_name(*parts: object) -> str:
    """Return parts of a name as one that every system takes for a file: 'made-study-accuracy-lr-0.1'."""
    words = (re.sub(r"[^A-Za-z0-9._-]+", "-", str(part)).strip("-.") for part in parts)
    return "-".join(_short(word) for word in words if word)


def _short(word: str) -> str:
    """Return a word of a name that no system finds too long; the end of a path says most, its hash tells it apart."""
    if len(word) <= LONGEST_WORD:
        return word
    return f"{hashlib.blake2b(word.encode(), digest_size=3).hexdigest()}-{word[-LONGEST_WORD + 7 :].lstrip('-.')}"


def as_drawn(drawn: Spec, name: str, title: str, about: str = "", legend: Legend | None = None) -> Saving:
    """Return what a chart is saved as whose numbers are just the rows that it draws; arguments as of Saving."""
    return Saving(name, title, lambda: rows_of(drawn), about, legend)


def rows_of(drawn: Spec) -> pd.DataFrame:
    """Return the rows that a chart draws: the largest of its sets, since the others are rules and marks of a level."""
    found: list[list[dict[str, Any]]] = [rows for rows in drawn.get("datasets", {}).values() if isinstance(rows, list)]
    waiting: list[Any] = [drawn]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("values"), list) and all(isinstance(row, dict) for row in part["values"]):
                found.append(part["values"])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return pd.DataFrame(max(found, key=len, default=[]))


def picture(drawn: Spec, saving: Saving) -> Spec:
    """Return a chart as the specification of a picture that stands alone."""
    return standalone(drawn, saving.title, saving.about, saving.legend)


def csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV in UTF-8; a missing value is an empty cell."""
    return str(frame.to_csv(index=False)).encode()


def parquet(rows: pd.DataFrame | pa.Table) -> bytes:
    """Return a frame, or a table with its own types, as Parquet."""
    table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
    out = BytesIO()
    pq.write_table(table.replace_schema_metadata(None), out)
    return bytes(out.getvalue())
