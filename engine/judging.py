"""How a difference over seeds is judged: three rules, their thresholds, and what several of them say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from engine.spec import Frozen
from engine.statistics import Interval, interval

Outcome = Literal["holds", "fails", "undecided"]
Rule = Literal["exceeds", "within", "matches"]

# The decimals in which a unit is told.
_DIGITS = {"points": 2, "overlap": 3, "sparsity": 3}


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
class Verdict:
    """What runs say of a claim.

    scope: what it is about, by field of a study, as text. effect, low, high: a mean over n seeds and its interval, in
    unit (points of accuracy, overlap, or sparsity). rule: when it holds and fails. reason: why it came out so. parts:
    the comparisons that it is made of.
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

    @property
    def place(self) -> str:
        """The scope in one line."""
        return " · ".join(self.scope.values())


@dataclass(frozen=True)
class Question:
    """A difference to be judged: what it is in words, by which rule, against which margin in which unit."""

    what: str
    rule: Rule
    margin: float
    unit: str = "points"

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
        }[self.rule]
        return (
            f"{self.what[0].upper()}{self.what[1:]}: {sentence}. The interval is Student's t at "
            f"{thresholds.confidence:.4g} over seeds, at least ±{thresholds.standard_errors:g} standard errors wide; "
            f"fewer than {thresholds.min_seeds} seeds are undecided."
        )


def judge(
    claim: str, scope: Mapping[str, str], question: Question, values: Mapping[int, float], thresholds: Thresholds,
    missing: str = "",
) -> Verdict:  # fmt: skip
    """Return the verdict on one difference; values: by seed, finite. missing: what is not there, for the reason."""
    found = interval(list(values.values()), thresholds.confidence, thresholds.standard_errors)
    outcome: Outcome = "undecided"
    if found.n < thresholds.min_seeds:
        reason = missing or f"{found.n} seed{'s' * (found.n != 1)} so far; it takes {thresholds.min_seeds}"
    else:
        outcome = _decide(question, found)
        reason = _because(question, found) + (f"; {missing}" if missing else "")
    return Verdict(
        claim, dict(scope), outcome, found.mean, found.low, found.high, question.unit, found.n,
        question.told(thresholds), reason,
    )  # fmt: skip


def undecided(claim: str, scope: Mapping[str, str], unit: str, rule: str, reason: str) -> Verdict:
    """Return the verdict where nothing can be compared."""
    return Verdict(claim, dict(scope), "undecided", None, None, None, unit, 0, rule, reason)


def all_of(claim: str, scope: Mapping[str, str], parts: Sequence[Verdict], rule: str) -> Verdict:
    """Return what parts say together: holds where all hold, fails where one fails; the decisive part's numbers."""
    for outcome in ("fails", "undecided", "holds"):
        those = [part for part in parts if part.outcome == outcome]
        if those:
            break
    # Of several, the one with the least room to zero is told.
    decisive = min(those, key=lambda part: part.effect if part.effect is not None else float("-inf"))
    told = decisive.place.removeprefix(" · ".join(scope.values())).removeprefix(" · ")
    reason = f"{told}: {decisive.reason}" if told else decisive.reason
    if outcome == "holds":
        reason = f"all {len(parts)} parts hold; the closest, {reason}"
    return Verdict(
        claim, dict(scope), decisive.outcome, decisive.effect, decisive.low, decisive.high, decisive.unit, decisive.n,
        rule, reason, tuple(parts),
    )  # fmt: skip


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
    else:
        holds, fails = found.low > -margin, found.mean < -margin and found.high < 0
    return "holds" if holds else "fails" if fails else "undecided"


def _because(question: Question, found: Interval) -> str:
    digits = _DIGITS[question.unit]
    unit = " points" if question.unit == "points" else ""
    return (
        f"{question.what} is {found.mean:+.{digits}f}{unit}, interval {found.low:+.{digits}f} to "
        f"{found.high:+.{digits}f}, over {found.n} seeds"
    )
