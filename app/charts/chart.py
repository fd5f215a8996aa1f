"""One chart with its texts and numbers, which pages, the report and the zip all show."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from app import words
from app.charts import vega
from app.charts.picture import Legend, standalone
from app.charts.points import SPREADS, Spread
from app.charts.vega import Spec

Numbers = Callable[[], pd.DataFrame]

PARQUET = "application/vnd.apache.parquet"
# The most characters of one part of a file's name; file systems allow 255 for the whole name.
LONGEST_WORD = 48


@dataclass(frozen=True)
class Chart:
    """A chart with its texts and numbers.

    name: the name of its files, without ending. title, about: the heading of its picture and the line below the
    heading. alt: a description for readers who cannot see it. numbers: returns the rows that it draws; it is called
    when a reader saves them, in a thread without a page, so it may hold frames but not call Streamlit. caption: the
    lines above it on a page, a heading first. legend: the content of the page's legend above it.
    """

    name: str
    spec: Spec
    title: str
    alt: str
    numbers: Numbers
    caption: tuple[str, ...] = ()
    about: str = ""
    legend: Legend = field(default_factory=Legend)

    @cached_property
    def packed(self) -> Spec:
        """The chart with its rows as Arrow's bytes, which Streamlit sends as they are to each visitor of a page."""
        datasets = self.spec.get("datasets", {})
        return {**self.spec, "datasets": {name: vega.packed(rows) for name, rows in datasets.items()}}

    @property
    def picture(self) -> Spec:
        """The chart as the specification of a picture with its own title and legend."""
        return standalone(self.spec, self.title, self.about, self.legend)


@dataclass(frozen=True)
class Subject:
    """The dataset and network whose runs a chart of a study draws; study is the name of the study."""

    study_id: str
    study: str
    dataset: str
    network: str

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame that belong to this dataset and network."""
        return frame[(frame["dataset"] == self.dataset) & (frame["network"] == self.network)]

    def file_name(self, chart: str, *details: object) -> str:
        """Return the name of a chart's files."""
        return file_name(self.study_id, chart, self.dataset, self.network, *details)

    def about(self, *details: str) -> str:
        """Return the line below the title of a chart's picture."""
        return " · ".join((words.place(self.network, self.dataset), *details, self.study))

    def numbers(self, means: pd.DataFrame, spread: Spread, **shared: Any) -> pd.DataFrame:
        """Return means for CSV: the columns that all rows share come first, the meaning of low and high comes last."""
        columns = {"dataset": self.dataset, "network": self.network, **shared}
        for position, (name, value) in enumerate(columns.items()):
            means.insert(position, name, value)
        return means.assign(low_to_high=SPREADS[spread])


def file_name(*parts: object) -> str:
    """Return a file name that every system accepts, made of some parts: 'made-study-accuracy-lr-0.1'."""
    cleaned = (re.sub(r"[^A-Za-z0-9._-]+", "-", str(part)).strip("-.") for part in parts)
    return "-".join(_short(word) for word in cleaned if word)


def _short(word: str) -> str:
    """Return a word of a file name, of which only a hash and the end remain where it is too long."""
    if len(word) <= LONGEST_WORD:
        return word
    return f"{hashlib.blake2b(word.encode(), digest_size=3).hexdigest()}-{word[-LONGEST_WORD + 7 :].lstrip('-.')}"


def csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV in UTF-8; a missing value is an empty cell."""
    return str(frame.to_csv(index=False)).encode()


def parquet(rows: pd.DataFrame | pa.Table) -> bytes:
    """Return a frame or a table as Parquet; a table keeps its column types."""
    table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
    out = BytesIO()
    pq.write_table(table.replace_schema_metadata(None), out)
    return bytes(out.getvalue())
