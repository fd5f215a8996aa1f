"""A study as one zip: its report, tables, charts, TOML, and a README."""

import zipfile
from collections.abc import Callable
from io import BytesIO

from app import words
from app.charts.chart import csv, parquet
from app.charts.picture import png_of, svg
from app.export.charts import places
from app.export.report import COMMAND, render
from data.database.database import Database
from data.parquet import tables_from_database
from data.queries import studies
from data.queries.studies import StudyRecord

# Takes the finished share, from 0 to 1, and the next step in words.
ReportProgress = Callable[[float, str], object]

_README = """{name}
{underline}

What Ticketscope recorded of this study: {done:,} of {stages} done, state: {state}.

report.html    the report; opens in a browser, without a network
study.toml     the study's settings, to launch it again
tables/        all measurements, as Parquet and as CSV:
{tables}
charts/        every chart of the report as SVG and PNG, and its numbers as CSV

Accuracies are percent, losses nats, durations seconds, sparsities and p fractions. In the numbers of a chart, low and
high are the ends of its band, and low_to_high names the spread that the band shows.

To train it again, where Ticketscope is installed:

    {command}

On a CPU, with the versions that the report names and one thread per training (the default), all numbers are the same,
bit for bit. On a GPU they may differ.
"""

_ABOUT = {
    "accuracy": "a row per finished training: final and best test accuracy and loss, or when it diverged",
    "overlap": "a row per pair of networks, layer and p: the counts behind R_p and the level of the mask alone",
    "epochs": "a row per training and epoch",
    "claims": "a row per claim of the paper and scope: verdict, effect, interval, n",
}


def everything(database: Database, study_id: str, report_progress: ReportProgress | None = None) -> bytes:
    """Return a study and its results so far as a zip; raises UnknownStudy where it is not recorded."""
    say = report_progress or (lambda done, step: None)
    say(0.0, "Reading the study")
    record = studies.study(database, study_id)
    study_places = places(database, record)
    charts = [chart for place in study_places for group in place.charts.values() for chart in group]
    tables = tables_from_database(database, study_id)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(name: str, content: bytes | str) -> None:
            archive.writestr(f"{study_id}/{name}", content)

        write("README.txt", _readme(record, list(tables)))
        write("study.toml", record.toml)
        say(0.05, "Writing the report")
        write("report.html", render(database, record, study_places))
        for index, (name, table) in enumerate(tables.items()):
            say(0.1 + 0.3 * index / len(tables), f"Writing the table of {name}")
            write(f"tables/{name}.parquet", parquet(table))
            write(f"tables/{name}.csv", csv(table.to_pandas(integer_object_nulls=True)))
        for index, chart in enumerate(charts):
            say(0.4 + 0.6 * index / len(charts), f"Drawing chart {index + 1} of {len(charts)}")
            drawn = svg(chart.picture)
            write(f"charts/{chart.name}.svg", drawn)
            write(f"charts/{chart.name}.png", png_of(drawn))
            write(f"charts/{chart.name}.csv", csv(chart.numbers()))
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
