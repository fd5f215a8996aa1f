"""Every chart of a study at once, with what it is saved as: for its report and its zip."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from app import words
from app.charts import accuracy as charts_accuracy
from app.charts import ancestors, overlap, progress, retention
from app.charts.accuracy import Measure
from app.charts.palette import Look
from app.charts.picture import Spec
from app.charts.points import Spread
from app.charts.saving import Saving
from app.components import chart
from app.export import named
from data.database.database import Database
from data.queries import points, studies
from data.queries.selection import OneStudy, Studies
from data.queries.studies import StudyRecord

# The band of a report, and the accuracy that it draws: those that a page shows at first.
SPREAD: Spread = "sd"
MEASURE: Measure = "test_accuracy"
PARTS = ("accuracy", "retention", "time", "starts", "ancestors", "layers", "admm")


@dataclass(frozen=True)
class Measured:
    """All that a study has measured, as the frames of `data.queries.studies`."""

    accuracy: pd.DataFrame
    pooled: pd.DataFrame
    layers: pd.DataFrame
    residuals: pd.DataFrame
    supports: pd.DataFrame
    retained: pd.DataFrame
    diverged: pd.DataFrame


@dataclass(frozen=True)
class Drawn:
    """A chart and what it is saved as; part is one of PARTS."""

    part: str
    dataset: str
    network: str
    caption: tuple[str, ...]
    spec: Spec
    saving: Saving


def measured(store: Database, study_id: str) -> Measured:
    """Return what a study has measured so far; UnknownStudy where it is not recorded."""
    return Measured(
        points.accuracy(store, OneStudy(study_id)),
        points.pooled_overlaps(store, OneStudy(study_id)),
        points.overlaps(store, OneStudy(study_id), ("initial_pretrained",)),
        studies.residuals(store, study_id),
        studies.supports(store, study_id),
        points.retention(store, Studies([study_id])),
        points.diverged(store, OneStudy(study_id)),
    )


def kinds(found: Measured) -> list[tuple[str, str]]:
    """Return the datasets and networks of a study that have results, in order."""
    return sorted(set(found.accuracy[["dataset", "network"]].itertuples(index=False, name=None)))


def of(frame: pd.DataFrame, dataset: str, network: str) -> pd.DataFrame:
    """Return the rows of one dataset and network."""
    return frame[(frame["dataset"] == dataset) & (frame["network"] == network)]


def charts(record: StudyRecord, found: Measured) -> Iterator[Drawn]:
    """Yield the charts of a study by dataset and network, each drawn when it is asked for."""
    for dataset, network in kinds(found):
        yield from _accuracy(record, dataset, network, of(found.accuracy, dataset, network))
        yield from _overlap(record, dataset, network, of(found.pooled, dataset, network))
        yield from _over_time(record, dataset, network, of(found.retained, dataset, network))
        yield from _layers(record, dataset, network, of(found.layers, dataset, network))
        yield from _admm(record, dataset, network, of(found.residuals, dataset, network))


def near_p(record: StudyRecord) -> float:
    """Return the p of the overlaps by sparsity: the study's nearest to 0.2, which the paper's table has."""
    return min(record.study.overlap_p, key=lambda p: abs(p - 0.2))


def _accuracy(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame) -> Iterator[Drawn]:
    panels = charts_accuracy.panels(rows, MEASURE, SPREAD)
    if not panels:
        return
    y = charts_accuracy.domain(panels)
    for panel in panels:
        yield Drawn(
            "accuracy",
            dataset,
            network,
            (f"{panel.title[:1].upper()}{panel.title[1:]}", charts_accuracy.dense_words(panel, SPREAD)),
            charts_accuracy.chart(panel, MEASURE, SPREAD, y),
            named.accuracy(record, dataset, network, panel, MEASURE, SPREAD),
        )


def _overlap(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame) -> Iterator[Drawn]:
    if (rows["pair"] == "initial_pretrained").any():
        yield Drawn(
            "retention",
            dataset,
            network,
            (),
            chart.spec(overlap.retention(rows, record.study.learning_rates, SPREAD)),
            named.retention(record, dataset, network, rows, SPREAD),
        )
    p = near_p(record)
    pairs = rows[rows["pair"].isin(["ticket_finetuned", "reinit_finetuned"])]
    for pruner in dict.fromkeys(pairs["pruner"]):
        for rate, shown in pairs[pairs["pruner"] == pruner].groupby("learning_rate"):
            yield Drawn(
                "starts",
                dataset,
                network,
                (f"Learning rate {words.number(float(rate))} · {words.pruner(str(pruner))}",),
                overlap.starts(shown, p, SPREAD),
                named.starts(record, dataset, network, str(pruner), float(rate), p, rows, SPREAD),
            )
    for (pruner, rate), shown in ancestors.at(rows, p).groupby(["pruner", "learning_rate"], sort=False):
        yield Drawn(
            "ancestors",
            dataset,
            network,
            (f"Learning rate {words.number(float(rate))} · {words.pruner(str(pruner))}",),
            ancestors.chart(shown, p, SPREAD),
            named.ancestors(record, dataset, network, str(pruner), float(rate), p, shown, SPREAD),
        )


def _over_time(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame) -> Iterator[Drawn]:
    p = near_p(record)
    if rows.empty:
        return
    yield Drawn(
        "time",
        dataset,
        network,
        (),
        chart.spec(retention.over_time(rows, record.study.learning_rates, p, SPREAD, "linear")),
        named.over_time(record, dataset, network, p, rows, SPREAD),
    )


def _layers(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame) -> Iterator[Drawn]:
    for rate, counts in rows.groupby("learning_rate"):
        held = f"Learning rate {words.number(float(rate))}"
        yield Drawn(
            "layers",
            dataset,
            network,
            (held,),
            chart.spec(overlap.layer_map(counts, "p")),
            named.layers(record, dataset, network, held, counts),
        )


def _admm(record: StudyRecord, dataset: str, network: str, rows: pd.DataFrame) -> Iterator[Drawn]:
    if rows.empty:
        return
    looks = _strokes(record.study.learning_rates)
    yield Drawn(
        "admm",
        dataset,
        network,
        (),
        chart.spec(progress.residuals(rows, looks)),
        named.residuals(record, dataset, network, rows, list(looks.values())),
    )


def _strokes(rates: tuple[float, ...]) -> dict[str, Look]:
    return {name: replace(look, shape="stroke") for name, look in overlap.rate_looks(rates).items()}
