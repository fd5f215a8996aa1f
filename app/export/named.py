"""What the charts of a study are saved as, on its page and in its zip: names, headings, legends and numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import words
from app.charts import ancestors as charts_ancestors
from app.charts import overlap, progress
from app.charts.accuracy import MEASURES, Measure, Panel
from app.charts.palette import STARTS, Look
from app.charts.picture import Legend
from app.charts.points import SPREADS, Spread, band, summarise
from app.charts.progress import Curve
from app.charts.saving import Saving, file_name
from data.queries.studies import StudyRecord


def accuracy(record: StudyRecord, dataset: str, network: str, panel: Panel, measure: Measure, spread: Spread) -> Saving:
    """Return what a panel of accuracy against sparsity is saved as."""
    rate, pruner = panel.learning_rate, panel.pruner
    drawn = {"dense"} if len(panel.dense) else set()
    drawn |= set(panel.lines["start"])

    def numbers() -> pd.DataFrame:
        frame = pd.concat(
            [part for part in (panel.dense.assign(start="dense", sparsity=0.0), panel.lines) if len(part)]
        )
        columns = ["start", "sparsity", "mean", "sd", "low", "high", "n"]
        about = {"dataset": dataset, "network": network, "learning_rate": rate, "pruner": pruner, "measure": measure}
        return _with(frame[columns], about, spread)

    return Saving(
        file_name(record.study_id, "accuracy", dataset, network, f"lr{words.number(rate)}", pruner),
        f"Test accuracy ({MEASURES[measure]}) against sparsity, learning rate {words.number(rate)}",
        numbers,
        _about(record, dataset, network, words.pruner(pruner)),
        Legend(tuple(look for start, look in STARTS.items() if start in drawn), band(spread)),
    )


def retention(record: StudyRecord, dataset: str, network: str, pooled: pd.DataFrame, spread: Spread) -> Saving:
    """Return what the overlap of initial and trained weights against p is saved as; pooled: of one dataset, network."""
    looks = overlap.rate_looks(record.study.learning_rates)

    def numbers() -> pd.DataFrame:
        rows = pooled[pooled["pair"] == "initial_pretrained"]
        frame = summarise(rows, "ratio", ["learning_rate", "p"], spread).assign(chance=_chance)
        return _with(frame, {"dataset": dataset, "network": network}, spread)

    return Saving(
        file_name(record.study_id, "overlap", dataset, network),
        "Overlap of the dense network's weights before and after training",
        numbers,
        _about(record, dataset, network),
        Legend((*looks.values(), overlap.CHANCE), band(spread)),
    )


def over_time(
    record: StudyRecord, dataset: str, network: str, p: float, retained: pd.DataFrame, spread: Spread
) -> Saving:
    """Return what the overlap with the initial weights by epoch is saved as; retained: of one dataset and network."""
    looks = overlap.rate_looks(record.study.learning_rates)

    def numbers() -> pd.DataFrame:
        rows = retained[retained["p"].round(4) == round(p, 4)]
        frame = summarise(rows, "ratio", ["learning_rate", "epoch"], spread).assign(chance=p)
        return _with(frame, {"dataset": dataset, "network": network, "p": p}, spread)

    return Saving(
        file_name(record.study_id, "overlap-time", dataset, network, f"p{p:g}"),
        "Overlap of initial weights and those in training, by epoch",
        numbers,
        _about(record, dataset, network, f"p = {p:g}"),
        Legend((*looks.values(), overlap.CHANCE), band(spread)),
    )


def starts(
    record: StudyRecord,
    dataset: str,
    network: str,
    pruner: str,
    rate: float,
    p: float,
    pooled: pd.DataFrame,
    spread: Spread,
) -> Saving:
    """Return what the starts' overlap with the fine-tuned network is saved as; pooled: of one dataset and network."""

    def numbers() -> pd.DataFrame:
        shown = pooled[
            (pooled["pruner"] == pruner)
            & (pooled["learning_rate"] == rate)
            & pooled["pair"].isin(["ticket_finetuned", "reinit_finetuned"])
            & (pooled["p"].round(4) == round(p, 4))
        ]
        frame = summarise(shown, "ratio", ["pair", "sparsity"], spread).assign(chance=p)
        about = {"dataset": dataset, "network": network, "learning_rate": rate, "pruner": pruner, "p": p}
        return _with(frame, about, spread)

    return Saving(
        file_name(record.study_id, "starts-overlap", dataset, network, f"lr{words.number(rate)}", pruner, f"p{p:g}"),
        f"Overlap of two starts with the fine-tuned network, learning rate {words.number(rate)}",
        numbers,
        _about(record, dataset, network, words.pruner(pruner), f"p = {p:g}"),
        Legend((*overlap.compared_looks(), overlap.CHANCE), band(spread)),
    )


def ancestors(
    record: StudyRecord,
    dataset: str,
    network: str,
    pruner: str,
    rate: float,
    p: float,
    rows: pd.DataFrame,
    spread: Spread,
) -> Saving:
    """Return what the fine-tuned network's overlap with dense ones is saved as; rows: those of the panel."""

    def numbers() -> pd.DataFrame:
        keys = ["pair", "sparsity"]
        frame = summarise(rows, "ratio", keys, spread).assign(chance=p)
        about = {"dataset": dataset, "network": network, "learning_rate": rate, "pruner": pruner, "p": p}
        return charts_ancestors.with_levels(_with(frame, about, spread), rows, keys)

    return Saving(
        file_name(record.study_id, "ancestors", dataset, network, f"lr{words.number(rate)}", pruner, f"p{p:g}"),
        f"Overlap of the fine-tuned network with its dense ancestors, learning rate {words.number(rate)}",
        numbers,
        _about(record, dataset, network, words.pruner(pruner), f"p = {p:g}"),
        Legend(tuple(charts_ancestors.looks()), band(spread)),
    )


def layers(record: StudyRecord, dataset: str, network: str, held: str, counts: pd.DataFrame) -> Saving:
    """Return what a heat map of overlap by layer is saved as; held: what its cells share, such as 'p = 0.2'."""

    def numbers() -> pd.DataFrame:
        rows = counts.assign(ratio=counts["intersection"] / counts["top"].where(counts["top"] > 0))
        frame = summarise(rows, "ratio", ["learning_rate", "position", "layer", "p"], "sd").assign(chance=_chance)
        return _with(frame, {"dataset": dataset, "network": network}, "sd")

    return Saving(
        file_name(record.study_id, "layers", dataset, network, held),
        f"Overlap of initial and trained weights layer by layer, {held[:1].lower()}{held[1:]}",
        numbers,
        _about(record, dataset, network, "mean over seeds"),
        Legend(ramp=("overlap ratio 0", "1"), note="independent weights give p"),
    )


def curves(record: StudyRecord, epochs: pd.DataFrame, looks: Mapping[str, Look], curve: Curve) -> Saving:
    """Return what curves by epoch are saved as; epochs: as `app.charts.progress.curves` takes them."""
    columns = ["name", "fingerprint", "epoch", f"train_{curve}", f"test_{curve}"]
    return Saving(
        file_name(record.study_id, "curves", curve),
        f"Training and test {curve} by epoch",
        lambda: epochs[columns].rename(columns={"name": "training"}),
        words.compares(record.study.model_dump()),
        Legend(tuple(looks.values()), "", "test images solid, training images dashed"),
    )


def residuals(record: StudyRecord, dataset: str, network: str, found: pd.DataFrame, looks: Sequence[Look]) -> Saving:
    """Return what ADMM's residual by round is saved as; found: residuals of the study."""

    def numbers() -> pd.DataFrame:
        rows = found[(found["dataset"] == dataset) & (found["network"] == network)]
        frame = summarise(rows, "residual", ["pruner", "learning_rate", "sparsity", "round"], "sd")
        return _with(frame, {"dataset": dataset, "network": network}, "sd")

    return Saving(
        file_name(record.study_id, "admm", dataset, network),
        "ADMM's primal residual by round",
        numbers,
        _about(record, dataset, network, "mean over seeds, a line per learning rate and sparsity"),
        Legend(tuple(looks), "", progress.residuals_note(found)),
    )


def _chance(points: pd.DataFrame) -> pd.Series:
    return points["p"]


def _about(record: StudyRecord, dataset: str, network: str, *more: str) -> str:
    parts = (words.place(network, dataset), *more, record.study.name)
    return " · ".join(part for part in parts if part)


def _with(frame: pd.DataFrame, about: Mapping[str, Any], spread: Spread) -> pd.DataFrame:
    """Return rows with what they all share in front, and behind what their low and high are."""
    for place, (name, value) in enumerate(about.items()):
        frame.insert(place, name, value)
    return frame.assign(low_to_high=SPREADS[spread])
