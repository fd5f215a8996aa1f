"""The charts of a study by dataset and network, for its report and its zip."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from app.answer import sweep
from app.answer.answers import first_place
from app.charts import accuracy, ancestors, overlap, progress, retention
from app.charts.accuracy import Measure
from app.charts.chart import Chart, Subject
from app.charts.forest import claims_forests
from app.charts.points import Spread, near_p
from data.database.database import Database
from data.queries import points, studies
from data.queries.evidence import from_frames
from data.queries.selection import OneStudy, Studies
from data.queries.studies import StudyRecord
from engine.claims import evaluate
from engine.study.spec import Study

# Reports have the band and the accuracy that pages show at first.
SPREAD: Spread = "sd"
MEASURE: Measure = "test_accuracy"


@dataclass(frozen=True)
class Results:
    """All results of a study, or of one dataset and network, as frames of `data.queries`."""

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
    """One dataset and network of a study, with its results and its charts by the keys of CHARTS."""

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
    """Return the datasets and networks of a study that have results, by name, with their charts."""
    study_results = results(database, record.study_id)
    names = study_results.accuracy[["dataset", "network"]].itertuples(index=False, name=None)
    places = []
    for dataset, network in sorted(set(names)):
        place_results = study_results.of(dataset, network)
        subject = Subject(record.study_id, record.study.name, dataset, network)
        charts = {name: list(make(subject, record.study, place_results)) for name, make in CHARTS.items()}
        places.append(Place(dataset, network, place_results, charts))
    return places


def _sweep(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    place = first_place(results.accuracy)
    if place is not None:
        drawn = sweep.of_study(subject, results.accuracy, results.pooled, *place, near_p(study.overlap_p), SPREAD)
        yield from drawn.panels.values()


def _gap_against_overlap(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    place = first_place(results.accuracy)
    if place is not None:
        drawn = sweep.of_study(subject, results.accuracy, results.pooled, *place, near_p(study.overlap_p), SPREAD)
        yield from filter(None, [drawn.gap_against_overlap])


def _claims(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    del study
    points, overlaps = from_frames(results.accuracy, results.pooled, results.diverged)
    return claims_forests(subject, [verdict for verdict in evaluate(points, overlaps) if not verdict.control])


def _accuracy(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    del study
    panels = accuracy.panels(results.accuracy, MEASURE, SPREAD)
    view = accuracy.first_view(panels)
    return (accuracy.chart(subject, panel, view) for panel in panels)


def _retention(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    if (results.pooled["pair"] == "initial_pretrained").any():
        yield retention.by_p(subject, results.pooled, study.learning_rates, SPREAD)


def _over_time(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    if len(results.retained):
        p = near_p(study.overlap_p)
        yield retention.over_time(subject, results.retained, study.learning_rates, p, SPREAD, "linear")


def _starts(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    p = near_p(study.overlap_p)
    rows = overlap.compared(results.pooled, p)
    for pruner in dict.fromkeys(rows["pruner"]):
        for rate, part in rows[rows["pruner"] == pruner].groupby("learning_rate"):
            yield overlap.starts(subject, str(pruner), float(rate), part, p, SPREAD)


def _ancestors(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    p = near_p(study.overlap_p)
    for (pruner, rate), part in ancestors.at(results.pooled, p).groupby(["pruner", "learning_rate"], sort=False):
        yield ancestors.chart(subject, str(pruner), float(rate), part, p, SPREAD)


def _layers(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    del study
    for rate, rows in results.layers.groupby("learning_rate"):
        yield overlap.layer_map(subject, rows, "p", float(rate))


def _admm(subject: Subject, study: Study, results: Results) -> Iterable[Chart]:
    if len(results.residuals):
        yield progress.residuals(subject, results.residuals, study.learning_rates)


# A new chart needs a line here, and a section in report.html under the same name.
CHARTS: dict[str, Callable[[Subject, Study, Results], Iterable[Chart]]] = {
    "sweep": _sweep,
    "gap": _gap_against_overlap,
    "claims": _claims,
    "accuracy": _accuracy,
    "retention": _retention,
    "starts": _starts,
    "ancestors": _ancestors,
    "time": _over_time,
    "layers": _layers,
    "admm": _admm,
}
