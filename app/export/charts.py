"""The charts of a study by dataset and network, for its report and its zip."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from app import words
from app.answer import sweep
from app.answer.answers import first_place, telling
from app.answer.sweep import Sweep
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
from engine.claims import OverlapPoint, Point, Verdict, elsewhere, evaluate
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
    """One dataset and network of a study, with its results; what several parts of a report need is computed once."""

    subject: Subject
    study: Study
    results: Results

    @property
    def p(self) -> float:
        """The p of charts by sparsity."""
        return near_p(self.study.overlap_p)

    @cached_property
    def at(self) -> tuple[str, float] | None:
        """The pruner and sparsity of the answer; None without a pruned network."""
        return first_place(self.results.accuracy)

    @cached_property
    def rates(self) -> list[float]:
        """The learning rates whose panels are drawn: all, or where they are many, the telling ones."""
        rates = sorted(float(rate) for rate in self.results.accuracy["learning_rate"].unique())
        return rates if len(rates) <= words.MOST_LISTED else telling(self.results.accuracy)

    def drawn(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the learning rates whose panels are drawn."""
        return rows[rows["learning_rate"].isin(self.rates)]

    @cached_property
    def evidence(self) -> tuple[list[Point], list[OverlapPoint]]:
        """The runs that claims are judged by."""
        return from_frames(self.results.accuracy, self.results.pooled, self.results.diverged)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts on the claims, by the usual thresholds."""
        return evaluate(*self.evidence)

    @cached_property
    def others(self) -> tuple[Verdict, ...]:
        """The verdicts at other learning rates, by the usual thresholds."""
        return elsewhere(*self.evidence)

    @cached_property
    def sweep(self) -> Sweep | None:
        """The learning rate sweep; None without a pruned network."""
        if self.at is None:
            return None
        return sweep.of_study(self.subject, self.results.accuracy, self.results.pooled, *self.at, self.p, SPREAD)

    @cached_property
    def charts(self) -> dict[str, list[Chart]]:
        """The charts by the keys of CHARTS."""
        return {name: list(make(self)) for name, make in CHARTS.items()}


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
    """Return the datasets and networks of a study that have results, by name."""
    study_results = results(database, record.study_id)
    names = study_results.accuracy[["dataset", "network"]].itertuples(index=False, name=None)
    return [
        Place(
            Subject(record.study_id, record.study.name, dataset, network),
            record.study,
            study_results.of(dataset, network),
        )
        for dataset, network in sorted(set(names))
    ]


def _sweep(place: Place) -> Iterable[Chart]:
    return place.sweep.panels.values() if place.sweep else ()


def _gap_against_overlap(place: Place) -> Iterable[Chart]:
    if place.sweep and place.sweep.gap_against_overlap:
        yield place.sweep.gap_against_overlap


def _claims(place: Place) -> Iterable[Chart]:
    return claims_forests(place.subject, place.verdicts, place.others)


def _accuracy(place: Place) -> Iterable[Chart]:
    panels = accuracy.panels(place.drawn(place.results.accuracy), MEASURE, SPREAD)
    view = accuracy.first_view(panels)
    return (accuracy.chart(place.subject, panel, view) for panel in panels)


def _retention(place: Place) -> Iterable[Chart]:
    pooled = place.results.pooled
    if (pooled["pair"] == "initial_pretrained").any():
        yield retention.by_p(place.subject, pooled, place.study.learning_rates, SPREAD)


def _over_time(place: Place) -> Iterable[Chart]:
    retained = place.results.retained
    if len(retained):
        yield retention.over_time(place.subject, retained, place.study.learning_rates, place.p, SPREAD, "linear")


def _starts(place: Place) -> Iterable[Chart]:
    rows = overlap.compared(place.drawn(place.results.pooled), place.p)
    for pruner in dict.fromkeys(rows["pruner"]):
        for rate, part in rows[rows["pruner"] == pruner].groupby("learning_rate"):
            yield overlap.starts(place.subject, str(pruner), float(rate), part, place.p, SPREAD)


def _ancestors(place: Place) -> Iterable[Chart]:
    rows = ancestors.at(place.drawn(place.results.pooled), place.p)
    for (pruner, rate), part in rows.groupby(["pruner", "learning_rate"], sort=False):
        yield ancestors.chart(place.subject, str(pruner), float(rate), part, place.p, SPREAD)


def _layers(place: Place) -> Iterable[Chart]:
    for rate, rows in place.drawn(place.results.layers).groupby("learning_rate"):
        yield overlap.layer_map(place.subject, rows, "p", float(rate))


def _admm(place: Place) -> Iterable[Chart]:
    if len(place.results.residuals):
        yield progress.residuals(place.subject, place.results.residuals, place.study.learning_rates)


# A new chart needs a line here, and a section in report.html under the same name.
CHARTS: dict[str, Callable[[Place], Iterable[Chart]]] = {
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
