"""Means over seeds and how far they can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median

from scipy.special import digamma, fdtrc, polygamma, stdtr, stdtrit

# A variance of 0 means that accuracies come in steps, not that there is no spread: it counts as this part of the usual.
LEAST_VARIANCE = 0.01
# A variance stands out where chance would make it as large less often than this.
STANDS_OUT = 0.01
# From this many degrees of freedom on, Student's t is taken for the normal distribution.
MANY = 1e6


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; low and high are None where n is below 2, mean where it is 0."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds.

    deviation: the standard deviation of one seed, NaN where n is 1. freedom: the degrees of freedom it is known by.
    """

    mean: float
    deviation: float
    freedom: float
    n: int

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation / math.sqrt(self.n)

    def half(self, tail: float, least: float = 0.0) -> float:
        """Return how far a bound lies from the mean that the truth lies beyond with a probability of `tail`.

        least: its least distance in standard errors.
        """
        return max(quantile(self.freedom, 1 - tail), least) * self.error

    def tail(self, bound: float) -> float:
        """Return the p-value of a truth at a bound above the mean, or below it: the smaller of the two."""
        if self.error == 0:
            return 0.5 if self.mean == bound else 0.0
        return float(stdtr(self.freedom, -abs(self.mean - bound) / self.error))


def interval(values: Sequence[float], confidence: float, standard_errors: float) -> Interval:
    """Return the mean of finite values with its interval: Student's t, never narrower than some standard errors.

    confidence: within (0, 1). standard_errors: the least half width, in standard errors of the mean.
    """
    n = len(values)
    if n == 0:
        return Interval(None, None, None, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    half = estimate(values).half((1 - confidence) / 2, standard_errors)
    return Interval(mean, mean - half, mean + half, n)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of some values, at least one, by their own spread."""
    return estimates([values])[0]


def estimates(samples: Sequence[Sequence[float]], correlation: float = 0.0) -> list[Estimate]:
    """Return the means of several samples, each at least one value, whose spreads inform each other.

    Runs at neighbouring sparsities vary about as much, and a few seeds tell little of their spread. So each variance is
    drawn towards what all have in common, as far as the variances themselves agree (the moderated t of Smyth 2004,
    "Linear models and empirical Bayes methods"): where all agree it is their mean, where they differ widely it stays
    its own. So does one that stands out, since it would be made too small. correlation: of two samples' values by
    seed; where they share a run, their variances say in part the same, and count for fewer degrees of freedom.
    """
    own = [(_variance(sample), len(sample) - 1) for sample in samples if len(sample) > 1]
    prior, prior_freedom = _prior(own)
    # Where values correlate by r, their variances correlate by r^2.
    all_freedom = sum(freedom for _, freedom in own) / (1 + max(len(own) - 1, 0) * correlation**2)
    moderated_means = []
    for sample in samples:
        n = len(sample)
        freedom = n - 1
        if freedom == 0:
            moderated_means.append(Estimate(sample[0], math.nan, math.nan, 1))
            continue
        spread = _variance(sample)
        if prior == 0 or fdtrc(freedom, min(prior_freedom, MANY), spread / prior) < STANDS_OUT:
            moderated, known_by = spread, float(freedom)
        elif math.isinf(prior_freedom):
            moderated, known_by = prior, max(all_freedom, freedom)
        else:
            weight = min(prior_freedom, all_freedom)
            known_by = weight + freedom
            moderated = (weight * prior + freedom * spread) / known_by
        moderated_means.append(Estimate(fmean(sample), math.sqrt(moderated), known_by, n))
    return moderated_means


def _prior(own: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the variance that some variances have in common, and by how many degrees of freedom it counts.

    Infinitely many where they differ no more than chance has it; none where there is a single one, or where all are 0.
    """
    if len(own) < 2:
        return 0.0, 0.0
    usual = median(value for value, _ in own)
    floor = LEAST_VARIANCE * (usual or max(value for value, _ in own))
    if floor == 0:
        return 0.0, 0.0
    logs, noises = [], []
    for value, freedom in own:
        logs.append(math.log(max(value, floor)) - _digamma(freedom / 2) + math.log(freedom / 2))
        noises.append(_trigamma(freedom / 2))
    beyond = _variance(logs) - fmean(noises)
    if beyond <= 0:
        weights = sum(freedom for _, freedom in own)
        return math.fsum(max(value, floor) * freedom for value, freedom in own) / weights, math.inf
    common = 2 * _inverse_trigamma(beyond)
    return math.exp(fmean(logs) + _digamma(common / 2) - math.log(common / 2)), common


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method on its reciprocal, which is nearly straight."""
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        own = float(polygamma(1, x))
        step = own * (1 - own / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


@lru_cache(maxsize=4096)
def quantile(freedom: float, probability: float) -> float:
    """Return the quantile of Student's t."""
    return float(stdtrit(min(freedom, MANY), probability))


@lru_cache(maxsize=256)
def _digamma(x: float) -> float:
    return float(digamma(x))


@lru_cache(maxsize=256)
def _trigamma(x: float) -> float:
    return float(polygamma(1, x))
