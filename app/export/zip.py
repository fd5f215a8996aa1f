"""Everything of a study in one zip: its report, its tables, its charts, itself, and what is what."""

import zipfile
from collections.abc import Callable
from io import BytesIO

from app import words
from app.charts.picture import png, svg
from app.charts.saving import csv, parquet, picture
from app.export.charts import charts, measured
from app.export.report import COMMAND, render
from data import parquet as tables
from data.database.database import Database
from data.queries import studies
from data.queries.studies import StudyRecord
from engine.study.spec import to_toml

# Told how much is done, from 0 to 1, and what comes next.
Progress = Callable[[float, str], object]

_README = """{name}
{underline}

What Ticketscope recorded of this study: {done:,} of {stages} done, state: {state}.

report.html    everything to read; opens in a browser, without a network
study.toml     the study itself
tables/        all that was measured, as Parquet and as CSV:
{tables}
charts/        every chart of the report as SVG and PNG, and as CSV the numbers that it draws

Accuracies are percent, losses nats, durations seconds, sparsities and p fractions. In the numbers of a chart, low and
high are the ends of its band, and low_to_high says what the band shows.

To train it again, where Ticketscope is installed:

    {command}

On a CPU, with the versions that the report names and one thread per training (the default), the numbers come out equal
bit for bit. On a GPU this is not promised.
"""

_ABOUT = {
    "accuracy": "a row per finished training: final and best test accuracy and loss, or when it diverged",
    "overlap": "a row per pair of networks, layer and p: the counts behind R_p and the level of the mask alone",
    "epochs": "a row per training and epoch",
    "claims": "a row per claim of the paper and scope: verdict, effect, interval, n",
}


def everything(store: Database, study_id: str, tell: Progress | None = None) -> bytes:
    """Return all of a study as a zip, of what is recorded now; UnknownStudy where it is not."""
    tell = tell or (lambda done, what: None)
    tell(0.0, "Reading the study")
    record, found = studies.study(store, study_id), measured(store, study_id)
    drawn = list(charts(record, found))
    frames = tables.tables_from_database(store, study_id)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(name: str, content: bytes | str) -> None:
            archive.writestr(f"{study_id}/{name}", content)

        write("README.txt", _readme(record, list(frames)))
        write("study.toml", to_toml(record.study))
        tell(0.05, "Writing the report")
        write("report.html", render(store, record, found, drawn))
        for index, (name, table) in enumerate(frames.items()):
            tell(0.1 + 0.3 * index / len(frames), f"Writing the table of {name}")
            write(f"tables/{name}.parquet", parquet(table))
            write(f"tables/{name}.csv", csv(table.to_pandas(integer_object_nulls=True)))
        for index, item in enumerate(drawn):
            tell(0.4 + 0.6 * index / len(drawn), f"Drawing chart {index + 1} of {len(drawn)}")
            spec = picture(item.spec, item.saving)
            write(f"charts/{item.saving.name}.svg", svg(spec))
            write(f"charts/{item.saving.name}.png", png(spec))
            write(f"charts/{item.saving.name}.csv", csv(item.saving.numbers()))
    return out.getvalue()


def _readme(record: StudyRecord, names: list[str]) -> str:
    stages = sum(record.counts.values())
    return _README.format(
        name=record.study.name,
        underline="=" * len(record.study.name),
        done=record.counts["done"],
        stages=words.plural(stages, "stage"),
        state=record.state,
        tables="\n".join(f"    {name:<12} {_ABOUT.get(name, '')}".rstrip() for name in names),
        command=COMMAND,
    )
