"""Means over seeds and their confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median

from scipy.special import digamma, fdtrc, polygamma, stdtr, stdtrit

# Accuracies are multiples of a step, so a variance of 0 is rounding: it counts as this fraction of the median variance.
LEAST_VARIANCE = 0.01
# A variance is an outlier if chance would make it as large with a probability below this.
OUTLIER = 0.01
# From this many degrees of freedom on, Student's t is treated as the normal distribution.
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

    deviation: the standard deviation of one seed, NaN where n is 1. freedom: the degrees of freedom of its estimate.
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
        """Return the distance from the mean to the bound that the true mean exceeds with probability `tail`.

        least: the smallest distance, in standard errors.
        """
        return max(quantile(self.freedom, 1 - tail), least) * self.error

    def tail(self, bound: float) -> float:
        """Return the one-sided p-value of a true mean at a bound, on the side of the mean where the bound lies."""
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
    """Return the mean of values, at least one, with their own spread."""
    return estimates([values])[0]


def estimates(samples: Sequence[Sequence[float]], correlation: float = 0.0) -> list[Estimate]:
    """Return the means of several samples, each of at least one value, with variances that inform each other.

    Runs at neighbouring sparsities have similar variances, which few seeds estimate poorly. So each variance is moved
    towards a common one, the more the variances agree (the moderated t of Smyth 2004, "Linear models and empirical
    Bayes methods"): if all agree it becomes their mean, if they differ widely it stays. An outlier stays too, because
    the common variance would be too small for it. correlation: of two samples' values, seed by seed; samples that
    share a run have partly the same variance, which then counts for fewer degrees of freedom.
    """
    own = [(_variance(sample), len(sample) - 1) for sample in samples if len(sample) > 1]
    prior, prior_freedom = _prior(own)
    # If values correlate by r, their variances correlate by r^2.
    all_freedom = sum(freedom for _, freedom in own) / (1 + max(len(own) - 1, 0) * correlation**2)
    moderated_means = []
    for sample in samples:
        n = len(sample)
        freedom = n - 1
        if freedom == 0:
            moderated_means.append(Estimate(sample[0], math.nan, math.nan, 1))
            continue
        spread = _variance(sample)
        if prior == 0 or fdtrc(freedom, min(prior_freedom, MANY), spread / prior) < OUTLIER:
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
    """Return the common variance of some variances, and its degrees of freedom.

    These are infinite where the variances differ no more than by chance, and 0 for a single variance or if all are 0.
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
    """Return x with trigamma(x) = value, by Newton's method on the reciprocal, which is nearly linear."""
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
