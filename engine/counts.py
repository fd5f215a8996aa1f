"""The counts behind masks and the overlap ratio R_p, and the grid of p."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Every stage records all of these p and a study shows some of them, so that the choice of p is in no fingerprint.
P_GRID: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class Count:
    """How the top-p index sets of one layer of two networks coincide.

    intersection: indices in both sets; top: indices in each set, p*N rounded half up; size: N, the weights ranked.
    expected: the mean intersection where the weights that a pruned network keeps are ordered at random; None for pairs
    of two dense or two pruned networks, whose mean is p*top, and in older results, which did not record it.
    """

    layer: str
    p: float
    intersection: int
    top: int
    size: int
    expected: float | None = None


def top_count(p: float, size: int) -> int:
    """Return how many of `size` weights are the largest p of them: p * size, halves rounded up."""
    # The product is rounded first, because products such as 0.15 * 10 lie slightly off the half in binary.
    return math.floor(round(p * size, 6) + 0.5)


def kept_count(sparsity: float, size: int) -> int:
    """Return how many of `size` weights stay at a sparsity."""
    return size - top_count(sparsity, size)


def pooled(counts: Iterable[Count]) -> float:
    """Return the overlap ratio pooled over counts: the sum of their intersections over the sum of their tops."""
    rows = list(counts)
    top = sum(count.top for count in rows)
    if top == 0:
        raise ValueError("the top p of every layer is empty, because the layers are too small; choose a larger p")
    return sum(count.intersection for count in rows) / top


def pooled_level(counts: Iterable[Count]) -> float | None:
    """Return the level of the mask alone pooled over counts: the sum of expected intersections over that of tops.

    None where a count lacks its expected intersection, or where all tops are 0.
    """
    rows = list(counts)
    top = sum(count.top for count in rows)
    expected = [count.expected for count in rows if count.expected is not None]
    return sum(expected) / top if top and len(expected) == len(rows) else None
