"""The questions that comparisons answer: rules, margins and thresholds, and how strictly an answer must be shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from pydantic import Field
from scipy.special import stdtr

from engine.claims.intervals import MANY, Estimate, quantile
from engine.study.recipe import Frozen

# A difference exceeds a margin, is within ± the margin, matches (is above -margin), or is below the margin.
Rule = Literal["exceeds", "within", "matches", "below"]

# For each unit: decimals, suffix, and the factor between a value and the formatted number.
UNITS = {"points": (2, " points", 1), "overlap": (3, "", 1), "sparsity": (1, " % of the weights", 100)}


class Thresholds(Frozen):
    """The limits of "similar", of a clear gap, and of enough seeds.

    Each dataset has one margin for both "similar" and "clear"; the two margins are those of Ma et al. 2021 (Sanity
    Checks for Lottery Tickets). A replication study requires that a gap exceed two standard errors. The paper has no
    margins for overlaps: its table 1 calls 0.20 at p = 0.2 no correlation.
    """

    margin: float = Field(
        0.5, ge=0, le=100, description="points within which two accuracies are similar, and beyond which a gap is clear"
        " (Ma et al. 2021, CIFAR-10)"
    )  # fmt: skip
    margin_cifar100: float = Field(1.0, ge=0, le=100, description="the same on CIFAR-100, in points (Ma et al. 2021)")
    standard_errors: float = Field(
        2.0, ge=0, le=10, description="least half width of a gap's interval, in standard errors (a replication's rule)"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence of the intervals (Student's t over seeds)")
    min_seeds: int = Field(3, ge=2, le=1000, description="seeds below which a claim is undecided (ours)")
    overlap_above: float = Field(
        0.1, ge=0, le=1, description="overlap beyond which it is well above its level of chance (ours)"
    )
    overlap_about: float = Field(
        0.05, ge=0, le=1, description="overlap within which it is about its level of chance (ours)"
    )
    moved: float = Field(
        0.01, ge=0, le=1, description="fraction of its weights that ADMM's mask must have other than one-shot's (ours)"
    )

    def margin_on(self, dataset: str) -> float:
        """Return the points within which two accuracies on a dataset are similar, and beyond which a gap is clear."""
        return self.margin_cifar100 if dataset == "cifar100" else self.margin


@dataclass(frozen=True)
class Question:
    """A difference to be judged: its description, the rule, and the margin in a unit of UNITS."""

    what: str
    rule: Rule
    margin: float
    unit: str = "points"

    @property
    def bounds(self) -> tuple[float, ...]:
        """The values that the effect is compared with, in the question's unit."""
        return {
            "exceeds": (self.margin,),
            "within": (-self.margin, self.margin),
            "matches": (-self.margin,),
            "below": (self.margin,),
        }[self.rule]

    @property
    def one_sided(self) -> bool:
        """Whether one-sided tests show that an effect does not lie beyond a margin; a clear gap needs both sides."""
        return self.rule != "exceeds"

    def sentence(self) -> str:
        """Return where an interval lies if the answer is yes, such as "above 0.5 points"."""
        unit = " points" if self.unit == "points" else ""
        return {
            "exceeds": f"above {self.margin:g}{unit}",
            "within": f"within ±{self.margin:g}{unit}",
            "matches": f"above −{self.margin:g}{unit}",
            "below": f"below {self.margin:g}{unit}",
        }[self.rule]


@dataclass(frozen=True)
class Strictness:
    """The divisors of the chance of an error where a claim consists of several comparisons.

    holds: the number of comparisons of which a single one makes the claim hold; below 1 where all must hold, which is
    unlikely by chance (see `joint_strictness`). fails: the number of which a single one makes it fail.
    """

    holds: float = 1
    fails: int = 1


# This is the strictness of a single comparison.
USUAL = Strictness()


def half_width(question: Question, estimate: Estimate, thresholds: Thresholds, count: float = 1) -> float:
    """Return the half width of the interval that shows an answer to be yes; count: see `Strictness.holds`."""
    return estimate.half(tail(question, thresholds) / count, 0.0 if question.one_sided else thresholds.standard_errors)


def level(question: Question, thresholds: Thresholds, count: float = 1) -> float:
    """Return the confidence of the interval of `half_width`."""
    return 1 - 2 * tail(question, thresholds) / count


def tail(question: Question, thresholds: Thresholds) -> float:
    """Return the chance of an error at one bound of the interval of `half_width`, for a single comparison."""
    # Each of two one-sided tests may use the whole chance of an error; a two-sided interval uses half on each side.
    return (1 - thresholds.confidence) / (1 if question.one_sided else 2)


def joint_strictness(question: Question, estimates: Sequence[Estimate], thresholds: Thresholds) -> float:
    """Return `Strictness.holds` for each of several differences that must all lie within ± a margin.

    If one of k differences lies at the margin and the others at 0, the chance that all are shown to lie within is
    a * q^(k-1), where a is the chance for the one and q for each of the others. So a may exceed the allowed chance of
    an error until the product reaches it, but at most twofold, because differences that vary together gain less.
    """
    allowed = 1 - thresholds.confidence
    several = [estimate for estimate in estimates if estimate.n > 1 and estimate.error > 0]
    if question.rule != "within" or len(several) < 2:
        return 1.0
    error = fmean(estimate.error for estimate in several)
    freedom = fmean(min(estimate.freedom, MANY) for estimate in several)

    def size(chance: float) -> float:
        passes = 2 * float(stdtr(freedom, question.margin / error - quantile(freedom, 1 - chance))) - 1
        return chance * max(passes, 0.0) ** (len(estimates) - 1)

    low, high = allowed, 2 * allowed
    if size(high) <= allowed:
        # With so wide a spread nothing is shown at either level, and the usual one is easier to read.
        return allowed / high if size(high) > allowed / 10 else 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= allowed else (low, middle)
    # A level that hardly differs from the usual one would only be harder to read.
    return allowed / low if low > 1.1 * allowed else 1.0


def slack(question: Question, estimate: Estimate, thresholds: Thresholds, strictness: Strictness) -> float:
    """Return the distance of the interval from the margin, in the question's unit: below 0 if the answer is open."""
    half = half_width(question, estimate, thresholds, strictness.holds)
    return {
        "exceeds": estimate.mean - half - question.margin,
        "within": question.margin - abs(estimate.mean) - half,
        "matches": estimate.mean - half + question.margin,
        "below": question.margin - estimate.mean - half,
    }[question.rule]


def is_excluded(question: Question, estimate: Estimate, thresholds: Thresholds, strictness: Strictness) -> bool:
    """Return whether the answer is shown to be no."""
    half = estimate.half((1 - thresholds.confidence) / 2 / strictness.fails)
    return {
        "exceeds": estimate.mean + half < question.margin,
        "within": abs(estimate.mean) - half > question.margin,
        "matches": estimate.mean + half < -question.margin,
        "below": estimate.mean - half > question.margin,
    }[question.rule]


def answer(question: Question, thresholds: Thresholds, count: float = 1) -> str:
    """Return the rule of a single comparison as a sentence; count: see `Strictness.holds`."""
    return (
        f"{capital(question.what)}: holds where its {percent(level(question, thresholds, count))} interval lies "
        f"{question.sentence()}."
    )


def percent(fraction: float) -> str:
    """Return a confidence in percent."""
    return f"{100 * fraction:.3g} %"


def capital(text: str) -> str:
    """Return a text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
