"""One chart with all that is said about it, as pages, the report and the zip take it."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from app import words
from app.charts.picture import Legend, standalone
from app.charts.points import SPREADS, Spread
from app.charts.vega import Spec

Numbers = Callable[[], pd.DataFrame]

PARQUET = "application/vnd.apache.parquet"
# Characters of one part of a file's name; systems allow 255 in all.
LONGEST_WORD = 48


@dataclass(frozen=True)
class Chart:
    """A chart with all that is said about it.

    name: of its files, without ending. title, about: the heading of its picture and the line below that. alt: what it
    shows, for those who cannot see it. numbers: returns the rows that it draws; called when they are requested, in a
    thread without a page, so it may hold frames but not call Streamlit. caption: the lines above it on a page, a
    heading first. legend: what the page's legend above it says.
    """

    name: str
    spec: Spec
    title: str
    alt: str
    numbers: Numbers
    caption: tuple[str, ...] = ()
    about: str = ""
    legend: Legend = field(default_factory=Legend)

    @property
    def picture(self) -> Spec:
        """The chart as the specification of a picture that can be read without the page."""
        return standalone(self.spec, self.title, self.about, self.legend)


@dataclass(frozen=True)
class Subject:
    """The runs that a study's chart draws: those of one dataset and network; study is the name of the study."""

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
        """Return means for CSV: first the columns that all rows share, last what their low and high are."""
        columns = {"dataset": self.dataset, "network": self.network, **shared}
        for place, (name, value) in enumerate(columns.items()):
            means.insert(place, name, value)
        return means.assign(low_to_high=SPREADS[spread])


def file_name(*parts: object) -> str:
    """Return parts of a name as one that every system takes for a file: 'made-study-accuracy-lr-0.1'."""
    cleaned = (re.sub(r"[^A-Za-z0-9._-]+", "-", str(part)).strip("-.") for part in parts)
    return "-".join(_short(word) for word in cleaned if word)


def _short(word: str) -> str:
    """Return a word of a name that no system finds too long; the end of a path says most, its hash tells it apart."""
    if len(word) <= LONGEST_WORD:
        return word
    return f"{hashlib.blake2b(word.encode(), digest_size=3).hexdigest()}-{word[-LONGEST_WORD + 7 :].lstrip('-.')}"


def csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV in UTF-8; a missing value is an empty cell."""
    return str(frame.to_csv(index=False)).encode()


def parquet(rows: pd.DataFrame | pa.Table) -> bytes:
    """Return a frame, or a table with its own types, as Parquet."""
    table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
    out = BytesIO()
    pq.write_table(table.replace_schema_metadata(None), out)
    return bytes(out.getvalue())
