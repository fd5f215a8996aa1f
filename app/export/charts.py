"""Every chart of a study, by dataset and network: for its report and its zip."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from app.charts import accuracy, ancestors, overlap, progress, retention
from app.charts.accuracy import Measure
from app.charts.chart import Chart, Subject
from app.charts.points import Spread
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy, Studies
from data.queries.studies import StudyRecord
from engine.study.spec import Study

# The band of a report, and the accuracy that it draws: those that a page shows at first.
SPREAD: Spread = "sd"
MEASURE: Measure = "test_accuracy"


@dataclass(frozen=True)
class Results:
    """All results of a study, or of one dataset and network of it, as the frames of `data.queries.studies`."""

    accuracy: pd.DataFrame
    pooled: pd.DataFrame
    layers: pd.DataFrame
    residuals: pd.DataFrame
    supports: pd.DataFrame
    retained: pd.DataFrame
    diverged: pd.DataFrame

    def of(self, dataset: str, network: str) -> "Results":
        """Return the results of one dataset and network."""
        frames = vars(self).items()
        return Results(**{n: f[(f["dataset"] == dataset) & (f["network"] == network)] for n, f in frames})


@dataclass(frozen=True)
class Place:
    """One dataset and network of a study, with its results and its charts by the names of CHARTS."""

    dataset: str
    network: str
    results: Results
    charts: dict[str, list[Chart]]


def results(database: Database, study_id: str) -> Results:
    """Return the results of a study so far; UnknownStudy where it is not recorded."""
    return Results(
        points.accuracy(database, OneStudy(study_id)),
        points.pooled_overlaps(database, OneStudy(study_id)),
        points.overlaps(database, OneStudy(study_id), ("initial_pretrained",)),
        studies.residuals(database, study_id),
        studies.supports(database, study_id),
        points.retention(database, Studies([study_id])),
        points.diverged(database, OneStudy(study_id)),
    )


def places(database: Database, record: StudyRecord) -> list[Place]:
    """Return every dataset and network of a study that has results, in order, with its charts."""
    everything = results(database, record.study_id)
    found = sorted(set(everything.accuracy[["dataset", "network"]].itertuples(index=False, name=None)))
    made = []
    for dataset, network in found:
        own, subject = everything.of(dataset, network), Subject(record.study_id, record.study.name, dataset, network)
        charts = {name: list(make(subject, record.study, own)) for name, make in CHARTS.items()}
        made.append(Place(dataset, network, own, charts))
    return made


def near_p(study: Study) -> float:
    """Return the p of the overlaps by sparsity: the study's nearest to 0.2, the p of the paper's table."""
    return min(study.overlap_p, key=lambda p: abs(p - 0.2))


def _accuracy(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    del study
    panels = accuracy.panels(own.accuracy, MEASURE, SPREAD)
    y = accuracy.domain(panels)
    return (accuracy.chart(subject, panel, MEASURE, SPREAD, y) for panel in panels)


def _retention(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    if (own.pooled["pair"] == "initial_pretrained").any():
        yield retention.by_p(subject, own.pooled, study.learning_rates, SPREAD)


def _over_time(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    if len(own.retained):
        yield retention.over_time(subject, own.retained, study.learning_rates, near_p(study), SPREAD, "linear")


def _starts(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    p = near_p(study)
    rows = overlap.compared(own.pooled, p)
    for pruner in dict.fromkeys(rows["pruner"]):
        for rate, part in rows[rows["pruner"] == pruner].groupby("learning_rate"):
            yield overlap.starts(subject, str(pruner), float(rate), part, p, SPREAD)


def _ancestors(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    p = near_p(study)
    for (pruner, rate), part in ancestors.at(own.pooled, p).groupby(["pruner", "learning_rate"], sort=False):
        yield ancestors.chart(subject, str(pruner), float(rate), part, p, SPREAD)


def _layers(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    del study
    return (overlap.layer_map(subject, part, "p", float(rate)) for rate, part in own.layers.groupby("learning_rate"))


def _admm(subject: Subject, study: Study, own: Results) -> Iterable[Chart]:
    if len(own.residuals):
        yield progress.residuals(subject, own.residuals, study.learning_rates)


# A chart that is added gets a line here; report.html has a section for each name.
CHARTS: dict[str, Callable[[Subject, Study, Results], Iterable[Chart]]] = {
    "accuracy": _accuracy,
    "retention": _retention,
    "starts": _starts,
    "ancestors": _ancestors,
    "time": _over_time,
    "layers": _layers,
    "admm": _admm,
}
