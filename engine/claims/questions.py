"""What is asked of a difference: rules and margins, thresholds, and how strictly an answer must be shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from pydantic import Field
from scipy.special import stdtr

from engine.claims.intervals import MANY, Estimate, quantile
from engine.study.recipe import Frozen

# exceeds: above a margin. within: no further from 0 than it. matches: no further below 0. below: not above it.
Rule = Literal["exceeds", "within", "matches", "below"]

# The decimals in which a unit is written, its name, and the factor from the number to what is written.
UNITS = {"points": (2, " points", 1), "overlap": (3, "", 1), "sparsity": (1, " % of the weights", 100)}


class Thresholds(Frozen):
    """What counts as similar, as a clear gap, and as enough seeds.

    One margin per dataset serves both "similar" and "clear"; the two are those of Ma et al. 2021 (Sanity Checks for
    Lottery Tickets). That a gap must exceed two standard errors is a replication's rule. The paper has no margins for
    overlaps: its table 1 calls 0.20 at p = 0.2 no correlation.
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
    """A difference to be judged: what it is in words, by which rule, against which margin in which unit."""

    what: str
    rule: Rule
    margin: float
    unit: str = "points"

    @property
    def bounds(self) -> tuple[float, ...]:
        """What the effect is compared with, in the question's unit."""
        return {
            "exceeds": (self.margin,),
            "within": (-self.margin, self.margin),
            "matches": (-self.margin,),
            "below": (self.margin,),
        }[self.rule]

    @property
    def one_sided(self) -> bool:
        """Whether an effect is shown not to lie beyond a margin, by one-sided tests, rather than to be a clear gap."""
        return self.rule != "exceeds"

    def sentence(self) -> str:
        """Return when the answer is yes, as a sentence about intervals."""
        unit = " points" if self.unit == "points" else ""
        return {
            "exceeds": f"above {self.margin:g}{unit}",
            "within": f"within ±{self.margin:g}{unit}",
            "matches": f"above −{self.margin:g}{unit}",
            "below": f"below {self.margin:g}{unit}",
        }[self.rule]


@dataclass(frozen=True)
class Strictness:
    """By how much the chance of an error is divided where a claim looks at several comparisons.

    holds: the number of comparisons of which one alone makes the claim hold; below 1 where all must, and chance is
    against that already (see `joint_strictness`). fails: the number of which one alone makes it fail.
    """

    holds: float = 1
    fails: int = 1


# The strictness of a comparison that stands alone.
USUAL = Strictness()


def half_width(question: Question, estimate: Estimate, thresholds: Thresholds, count: float = 1) -> float:
    """Return the half width of the interval that shows an answer to be yes; count: as `Strictness.holds`."""
    return estimate.half(tail(question, thresholds) / count, 0.0 if question.one_sided else thresholds.standard_errors)


def level(question: Question, thresholds: Thresholds, count: float = 1) -> float:
    """Return the confidence of that interval."""
    return 1 - 2 * tail(question, thresholds) / count


def tail(question: Question, thresholds: Thresholds) -> float:
    """Return the chance that a bound of that interval errs, for a single comparison."""
    # Two one-sided tests, each at the chance of an error allowed; an interval of a gap shares it out to both sides.
    return (1 - thresholds.confidence) / (1 if question.one_sided else 2)


def joint_strictness(question: Question, estimates: Sequence[Estimate], thresholds: Thresholds) -> float:
    """Return `Strictness.holds` for one of several differences that must all lie within a margin, both ways.

    Of k differences, one at the margin and the others at 0, all are shown to lie within at a chance of a * q^(k-1),
    where a is that of the one and q that of the others. So a may be larger than the chance of an error allowed, until
    the product reaches it: at most twice as large, since differences that vary together have less against them.
    """
    allowed = 1 - thresholds.confidence
    several = [one for one in estimates if one.n > 1 and one.error > 0]
    if question.rule != "within" or len(several) < 2:
        return 1.0
    error, freedom = fmean(one.error for one in several), fmean(min(one.freedom, MANY) for one in several)

    def size(chance: float) -> float:
        passes = 2 * float(stdtr(freedom, question.margin / error - quantile(freedom, 1 - chance))) - 1
        return chance * max(passes, 0.0) ** (len(estimates) - 1)

    low, high = allowed, 2 * allowed
    if size(high) <= allowed:
        # With spread as wide as that, nothing is shown at either level; the usual one is easier to read.
        return allowed / high if size(high) > allowed / 10 else 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= allowed else (low, middle)
    # Where it hardly differs, the usual level is easier to read.
    return allowed / low if low > 1.1 * allowed else 1.0


def slack(question: Question, estimate: Estimate, thresholds: Thresholds, strictness: Strictness) -> float:
    """Return how far an effect is from not being shown, in its unit: below 0 where it is not."""
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
    """Return the rule of one comparison as a sentence."""
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
