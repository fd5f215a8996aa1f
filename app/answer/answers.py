"""What a study answers, one sentence per learning rate, made from its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from app import words
from app.charts.points import at_p, summarise

# Starts differ at this sparsity, in the paper and elsewhere, so answers are at the nearest one.
USUAL = 0.8


@dataclass(frozen=True)
class Mean:
    """A mean over n seeds with its 95 % interval, whose ends are None for one seed."""

    value: float
    low: float | None
    high: float | None
    n: int

    def interval(self, digits: int) -> str:
        """Return the interval, if there is one, and n: '3.4 to 15.5, n = 3'."""
        if self.low is None or self.high is None:
            return f"n = {self.n}, so without an interval"
        return f"95 % interval {words.minus(f'{self.low:.{digits}f} to {self.high:.{digits}f}')}, n = {self.n}"


@dataclass(frozen=True)
class Answer:
    """What the runs at one learning rate say, under one pruner at one sparsity.

    gap: winning ticket minus random reinit in points of accuracy, seed by seed; None without such a pair of runs.
    retained: R_p of the initial and the trained dense weights; None where it is not measured.
    """

    learning_rate: float
    sparsity: float
    p: float
    gap: Mean | None
    retained: Mean | None

    @property
    def sentence(self) -> str:
        """The answer in words."""
        return f"At learning rate {words.number(self.learning_rate)}, {self._gap()}{self._retained()}."

    def _gap(self) -> str:
        at = f"at {words.percent(self.sparsity)} sparsity"
        if self.gap is None:
            return f"winning ticket and random reinit are not both trained {at}"
        size = f"{abs(self.gap.value):.1f} points ({self.gap.interval(1)})"
        if self.gap.low is None or self.gap.high is None:
            more = "above" if self.gap.value >= 0 else "below"
            return f"the winning ticket is {size} {more} random reinit {at}"
        if self.gap.low > 0:
            return f"the winning ticket beats random reinit by {size} {at}"
        if self.gap.high < 0:
            return f"the winning ticket is worse than random reinit by {size} {at}"
        signed = words.minus(f"{self.gap.value:+.1f}")
        size = f"{signed} points ({self.gap.interval(1)})"
        return f"the winning ticket does not clearly differ from random reinit: {size} {at}"

    def _retained(self) -> str:
        if self.retained is None:
            return ""
        share = f"{self.retained.value:.2f} of the largest {words.percent(self.p)} of the initial weights"
        return f", and {share} are among the largest after training, where chance gives {self.p:.2f}"


def first_place(accuracy: pd.DataFrame) -> tuple[str, float] | None:
    """Return the pruner and sparsity that answers are about at first; None without a pruned network."""
    pruned = accuracy[accuracy["start"] != "dense"]
    if pruned.empty:
        return None
    pruner = str(pruned["pruner"].iloc[0])
    return pruner, usual(sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique()))


def at_words(pruner: str, sparsity: float) -> str:
    """Return a pruner and a sparsity in words."""
    return f"{words.pruner(pruner)}, sparsity {words.percent(sparsity)}"


def usual(sparsities: Sequence[float], requested: float = USUAL) -> float:
    """Return the sparsity nearest to a requested one, the lower of two equally near ones."""
    return min(sparsities, key=lambda value: (round(abs(value - requested), 6), value))


def answers(accuracy: pd.DataFrame, pooled: pd.DataFrame, pruner: str, sparsity: float, p: float) -> list[Answer]:
    """Return the answer of each learning rate, from the lowest.

    accuracy, pooled: rows of `data.queries.points` of one dataset and network.
    """
    at = accuracy[(accuracy["pruner"] == pruner) & (accuracy["sparsity"].round(6) == round(sparsity, 6))]
    pairs = at.pivot_table(index=["learning_rate", "seed"], columns="start", values="test_accuracy")
    gaps: dict[float, Mean] = {}
    if {"winning_ticket", "reinit"} <= set(pairs.columns):
        gap = (pairs["winning_ticket"] - pairs["reinit"]).dropna().rename("gap").reset_index()
        gaps = _means(gap, "gap")
    dense = pooled[pooled["pair"] == "initial_pretrained"]
    retained = _means(at_p(dense, p).dropna(subset=["ratio"]), "ratio")
    rates = sorted({float(rate) for rate in accuracy["learning_rate"]})
    return [Answer(rate, sparsity, p, gaps.get(rate), retained.get(rate)) for rate in rates]


def _means(rows: pd.DataFrame, value: str) -> dict[float, Mean]:
    """Return the mean of a column with its interval by learning rate."""
    if rows.empty:
        return {}
    table = summarise(rows, value, ["learning_rate"], "ci")
    return {
        float(rate): Mean(float(mean), _bound(low), _bound(high), int(n))
        for rate, mean, low, high, n in table[["learning_rate", "mean", "low", "high", "n"]].itertuples(index=False)
    }


def _bound(value: float) -> float | None:
    return None if value != value else float(value)
