"""Means over seeds and how far they can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; low and high are None where n is below 2, mean where it is 0."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


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
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = max(_quantile(n - 1, confidence), standard_errors) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n)


@lru_cache(maxsize=256)
def _quantile(freedom: int, confidence: float) -> float:
    return float(stdtrit(freedom, (1 + confidence) / 2))
