"""Everything of a study in one zip: its report, its tables, its charts, its file, and a README."""

import zipfile
from collections.abc import Callable
from io import BytesIO

from app import words
from app.charts.chart import csv, parquet
from app.charts.picture import png, svg
from app.export.charts import places
from app.export.report import COMMAND, render
from data import parquet as tables
from data.database.database import Database
from data.queries import studies
from data.queries.studies import StudyRecord
from engine.study.spec import to_toml

# Called with the share that is done, from 0 to 1, and with what comes next.
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


def everything(database: Database, study_id: str, report_progress: Progress | None = None) -> bytes:
    """Return a study and its results so far as a zip; UnknownStudy where it is not recorded."""
    say = report_progress or (lambda done, what: None)
    say(0.0, "Reading the study")
    record = studies.study(database, study_id)
    parts = places(database, record)
    charts = [chart for part in parts for group in part.charts.values() for chart in group]
    frames = tables.tables_from_database(database, study_id)
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def write(name: str, content: bytes | str) -> None:
            archive.writestr(f"{study_id}/{name}", content)

        write("README.txt", _readme(record, list(frames)))
        write("study.toml", to_toml(record.study))
        say(0.05, "Writing the report")
        write("report.html", render(database, record, parts))
        for index, (name, table) in enumerate(frames.items()):
            say(0.1 + 0.3 * index / len(frames), f"Writing the table of {name}")
            write(f"tables/{name}.parquet", parquet(table))
            write(f"tables/{name}.csv", csv(table.to_pandas(integer_object_nulls=True)))
        for index, chart in enumerate(charts):
            say(0.4 + 0.6 * index / len(charts), f"Drawing chart {index + 1} of {len(charts)}")
            write(f"charts/{chart.name}.svg", svg(chart.picture))
            write(f"charts/{chart.name}.png", png(chart.picture))
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
