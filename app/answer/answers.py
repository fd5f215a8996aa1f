"""What a study answers, a sentence per learning rate or for several alike, made from its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from app import words
from app.charts.points import LABEL, at_p, summarise

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
    def outcome(self) -> str:
        """What the gap says, where {gap} stands for its size and {at} for the sparsity."""
        if self.gap is None:
            return "winning ticket and random reinit are not both trained {at}"
        if self.gap.low is None or self.gap.high is None:
            side = "above" if self.gap.value >= 0 else "below"
            return f"the winning ticket is {{gap}} {side} random reinit {{at}}"
        if self.gap.low > 0:
            return "the winning ticket beats random reinit by {gap} {at}"
        if self.gap.high < 0:
            return "the winning ticket is worse than random reinit by {gap} {at}"
        return "the winning ticket does not clearly differ from random reinit: {gap} {at}"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        return Summary((self,)).sentence

    @property
    def size(self) -> float:
        """The gap as its sentence writes it: with its sign only where it does not clearly differ from 0."""
        assert self.gap is not None
        return self.gap.value if ": {gap}" in self.outcome else abs(self.gap.value)


@dataclass(frozen=True)
class Summary:
    """One learning rate's answer, or the answers of several that say the same, from the lowest rate.

    between: whether rates between the first and the last have another answer.
    """

    answers: tuple[Answer, ...]
    between: bool = False

    @property
    def lead(self) -> str:
        """The learning rates of the answers, as the beginning of the sentence."""
        rates = [answer.learning_rate for answer in self.answers]
        if len(rates) == 1:
            return f"At learning rate {words.number(rates[0])}"
        span = f"{'between ' * self.between}{words.number(rates[0])} {'and' if self.between else 'to'} "
        return f"At {len(rates)} learning rates, {span}{words.number(rates[-1])}"

    @property
    def rest(self) -> str:
        """The rest of the sentence."""
        first = self.answers[0]
        gap = "" if first.gap is None else self._gap()
        return first.outcome.format(gap=gap, at=f"at {words.percent(first.sparsity)} sparsity") + self._retained() + "."

    @property
    def sentence(self) -> str:
        """The answer in words."""
        return f"{self.lead}, {self.rest}"

    def _gap(self) -> str:
        sign = "+" if ": {gap}" in self.answers[0].outcome else ""
        sizes = [answer.size for answer in self.answers]
        gaps = [answer.gap for answer in self.answers if answer.gap is not None]
        if len(sizes) == 1:
            return words.minus(f"{sizes[0]:{sign}.1f} points ({gaps[0].interval(1)})")
        n = words.span([gap.n for gap in gaps])
        each = f"each by its own 95 % interval, n = {n}" if gaps[0].low is not None else "n = 1, so without an interval"
        return words.minus(f"{words.span(sizes, f'{sign}.1f')} points ({each})")

    def _retained(self) -> str:
        shares = [answer.retained.value for answer in self.answers if answer.retained is not None]
        if not shares:
            return ""
        p = self.answers[0].p
        share = f"{words.span(shares, '.2f')} of the largest {words.percent(p)} of the initial weights"
        return f", and {share} are among the largest after training, where chance gives {p:.2f}"


def summed_up(found: Sequence[Answer]) -> list[Summary]:
    """Return a summary for each answer, or where they are many, for each row of neighbours that say the same.

    Where these are many too, each summary has all answers that say the same.
    """
    if len(found) <= words.MOST_LISTED:
        return [Summary((answer,)) for answer in found]
    rows = [Summary(tuple(group)) for _, group in groupby(found, key=lambda answer: answer.outcome)]
    if len(rows) <= words.MOST_LISTED:
        return rows
    alike = {answer.outcome: [other for other in found if other.outcome == answer.outcome] for answer in found}
    return [Summary(tuple(group), between=len(group) > 1) for group in alike.values()]


def table(found: Sequence[Answer]) -> pd.DataFrame:
    """Return the answers as a table, a row for each learning rate."""
    gaps, overlaps = [answer.gap for answer in found], [answer.retained for answer in found]
    columns = {
        "learning rate": [answer.learning_rate for answer in found],
        "ticket minus reinit (points)": [None if gap is None else round(gap.value, 2) for gap in gaps],
        f"gap{LABEL}95 % from": [None if gap is None or gap.low is None else round(gap.low, 2) for gap in gaps],
        f"gap{LABEL}to": [None if gap is None or gap.high is None else round(gap.high, 2) for gap in gaps],
        "paired seeds (n)": [0 if gap is None else gap.n for gap in gaps],
        "overlap of initial and trained weights": [None if mean is None else round(mean.value, 3) for mean in overlaps],
        "chance": [answer.p for answer in found],
    }
    return pd.DataFrame(columns)


# Which learning rates are drawn at first where they are many.
TELLING = (
    "the lowest and the highest learning rate, that of the largest gap between winning ticket and random reinit, and "
    "that of the most accurate dense network"
)


def telling(accuracy: pd.DataFrame) -> list[float]:
    """Return the learning rates of TELLING, increasing; accuracy: rows of `data.queries.points` of one network."""
    means = accuracy.groupby(["learning_rate", "start"])["test_accuracy"].mean().unstack()
    picked = [means.index.min(), means.index.max()] if len(means) else []
    gap = (means.get("winning_ticket", math.nan) - means.get("reinit", math.nan)) * pd.Series(1.0, index=means.index)
    measured = (gap.abs(), means.get("dense", pd.Series(dtype=float)))
    picked += [values.idxmax() for values in measured if values.notna().any()]
    return sorted({float(rate) for rate in picked})


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
