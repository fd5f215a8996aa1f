"""How a difference over seeds is judged: the rules, their thresholds, and what several verdicts say together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from engine.evidence import Gap
from engine.registry import PRUNERS
from engine.spec import Frozen
from engine.statistics import Interval, interval

Outcome = Literal["holds", "fails", "undecided"]
Rule = Literal["exceeds", "within", "matches", "reaches"]

# The decimals in which a unit is told, and what stands behind it; sparsity, a fraction elsewhere, is told in percent.
TOLD = {"points": (2, " points", 1), "overlap": (3, "", 1), "sparsity": (1, " % of the weights", 100)}


class Thresholds(Frozen):
    """What counts as similar, as a clear gap, and as enough seeds.

    "Similar" and "clear" are those of Ma et al. 2021 (Sanity Checks for Lottery Tickets); that a gap must exceed two
    standard errors is a replication's rule. The paper gives none for overlaps: its table 1 calls 0.20 at p = 0.2 no
    correlation and 0.48 to 0.65 correlation, and the two margins lie between.
    """

    similar: float = Field(
        0.5, ge=0, le=100, description="points of accuracy within which two are similar (Ma et al. 2021, CIFAR-10)"
    )
    similar_cifar100: float = Field(1.0, ge=0, le=100, description="the same on CIFAR-100, in points (Ma et al. 2021)")
    clear: float = Field(
        0.5, ge=0, le=100, description="points of accuracy above which a gap is clear (Ma et al. 2021)"
    )
    standard_errors: float = Field(
        2.0, ge=0, le=10, description="least half width of an interval, in standard errors (a replication's rule)"
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence of the intervals (Student's t over seeds)")
    min_seeds: int = Field(3, ge=2, le=1000, description="seeds below which a claim is undecided (ours)")
    overlap_above: float = Field(
        0.1, ge=0, le=1, description="overlap beyond which it is well above p (ours, between the values of table 1)"
    )
    overlap_about: float = Field(
        0.05, ge=0, le=1, description="overlap within which it is about p (ours, between the values of table 1)"
    )

    def similar_on(self, dataset: str) -> float:
        """Return the points within which two accuracies on a dataset are similar."""
        return self.similar_cifar100 if dataset == "cifar100" else self.similar


@dataclass(frozen=True)
class Question:
    """A difference to be judged: what it is in words, by which rule, against which margin in which unit."""

    what: str
    rule: Rule
    margin: float
    unit: str = "points"

    @property
    def bounds(self) -> tuple[float, ...]:
        """What the effect is held against, in the question's unit."""
        return {
            "exceeds": (self.margin,),
            "within": (-self.margin, self.margin),
            "matches": (-self.margin,),
            "reaches": (0.0,),
        }[self.rule]

    def told(self, thresholds: Thresholds) -> str:
        """Return the rule as a sentence."""
        margin = f"{self.margin:g}{' points' if self.unit == 'points' else ''}"
        sentence = {
            "exceeds": f"holds where its mean is above {margin} and its interval above 0; fails where the interval is "
            f"below {margin}",
            "within": f"holds where its interval lies within ±{margin}; fails where its mean is further from 0 than "
            f"{margin} and the interval excludes 0",
            "matches": f"holds where its interval lies above −{margin}; fails where its mean is below −{margin} and "
            "the interval below 0",
            "reaches": "holds where its interval does not go below 0; fails where the interval lies below 0",
        }[self.rule]
        return (
            f"{_capital(self.what)}: {sentence}; otherwise undecided. The interval is Student's t at "
            f"{thresholds.confidence:.4g} over seeds, at least ±{thresholds.standard_errors:g} standard errors wide; "
            f"fewer than {thresholds.min_seeds} seeds are undecided."
        )


@dataclass(frozen=True)
class Verdict:
    """What runs say of a claim.

    scope: what it is about, by field of a study, as text. effect, low, high: a mean over n seeds and its interval, in
    unit (points of accuracy, overlap, or sparsity). rule: when it holds and fails. reason: why it came out so. parts:
    the comparisons that it is made of. question: what the effect was asked, None where nothing was compared. over: what
    the effect is a mean over, where its parts are what it is the mean of.
    """

    claim: str
    scope: Mapping[str, str]
    outcome: Outcome
    effect: float | None
    low: float | None
    high: float | None
    unit: str
    n: int
    rule: str
    reason: str
    parts: "tuple[Verdict, ...]" = ()
    question: Question | None = None
    over: str = ""

    @property
    def place(self) -> str:
        """The scope in one line."""
        return " · ".join(self.scope.values())

    @property
    def room(self) -> float:
        """How far the effect is from not holding, in its unit: below 0 where it does not; -inf without an interval."""
        if self.question is None or self.effect is None or self.low is None or self.high is None:
            return -math.inf
        margin = self.question.margin
        return {
            "exceeds": min(self.effect - margin, self.low),
            "within": margin - max(-self.low, self.high),
            "matches": self.low + margin,
            "reaches": self.low,
        }[self.question.rule]


def judge(claim: str, scope: Mapping[str, str], question: Question, gap: Gap, thresholds: Thresholds) -> Verdict:
    """Return the verdict on one difference."""
    found = interval(list(gap.values.values()), thresholds.confidence, thresholds.standard_errors)
    outcome: Outcome = "undecided"
    if found.n < thresholds.min_seeds:
        reason = f"{found.n} seed{'s' * (found.n != 1)} to compare; it takes {thresholds.min_seeds}"
        if found.mean is not None:
            reason = f"{_measured(question, found)}; it takes {thresholds.min_seeds} seeds"
    else:
        outcome = _decide(question, found)
        reason = _measured(question, found)
    if gap.note:
        reason = f"{reason}; {gap.note}"
    return Verdict(
        claim, dict(scope), outcome, found.mean, found.low, found.high, question.unit, found.n,
        question.told(thresholds), reason, (), question,
    )  # fmt: skip


def undecided(
    claim: str, scope: Mapping[str, str], unit: str, rule: str, reason: str, parts: Sequence[Verdict] = ()
) -> Verdict:
    """Return the verdict where what it takes cannot be compared; parts: what of it can."""
    return Verdict(claim, dict(scope), "undecided", None, None, None, unit, 0, rule, reason, tuple(parts))


def all_of(claim: str, scope: Mapping[str, str], parts: Sequence[Verdict], rule: str) -> Verdict:
    """Return what parts say together: holds where all hold, fails where one fails.

    Its numbers are those of the part that decides: one that fails, else one that is undecided, else the one with the
    least room; of several, always that with the least room.
    """
    order = ("fails", "undecided", "holds")
    decisive = min(parts, key=lambda part: (order.index(part.outcome), part.room))
    told = within(decisive, scope)
    reason = f"{told}: {decisive.reason}" if told else decisive.reason
    if decisive.outcome == "holds":
        reason = f"{'both' if len(parts) == 2 else f'all {len(parts)}'} parts hold; the closest, {reason}"
    return Verdict(
        claim, dict(scope), decisive.outcome, decisive.effect, decisive.low, decisive.high, decisive.unit, decisive.n,
        f"{rule} Holds where all of these hold, fails where one fails, otherwise undecided.", reason, tuple(parts),
        decisive.question,
    )  # fmt: skip


def within(part: Verdict, scope: Mapping[str, str]) -> str:
    """Return in one line what a part's scope says beyond another, pruners by their titles."""
    further = {name: value for name, value in part.scope.items() if scope.get(name) != value}
    return " · ".join(PRUNERS[value].title if name == "pruner" else value for name, value in further.items())


def _decide(question: Question, found: Interval) -> Outcome:
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    margin = question.margin
    if question.rule == "exceeds":
        holds, fails = found.mean > margin and found.low > 0, found.high < margin
    elif question.rule == "within":
        holds = -margin < found.low and found.high < margin
        fails = abs(found.mean) > margin and (found.low > 0 or found.high < 0)
    elif question.rule == "matches":
        holds, fails = found.low > -margin, found.mean < -margin and found.high < 0
    else:
        holds, fails = found.low >= 0, found.high < 0
    return "holds" if holds else "fails" if fails else "undecided"


def _measured(question: Question, found: Interval) -> str:
    digits, unit, factor = TOLD[question.unit]
    mean, low, high = (
        None if value is None else f"{factor * value:+.{digits}f}" for value in (found.mean, found.low, found.high)
    )
    told = f"{question.what} is {mean}{unit}" + (f", interval {low} to {high}" if low is not None else "")
    return f"{told}, over {found.n} seed{'s' * (found.n != 1)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
