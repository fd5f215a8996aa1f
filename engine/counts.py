"""The counts behind masks and the overlap ratio R_p, by layer and p, and the grid of p."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Every p that is recorded. A study shows some of them; recording all makes p no part of a training's identity.
P_GRID: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class Count:
    """How the top-p index sets of one layer of two networks coincide.

    intersection: indices in both sets; top: indices in each set, p*N rounded half up; size: N, the weights ranked.
    expected: of a pruned network against a dense one, the intersection that a random order of the weights within the
    mask has on average; None for other pairs, whose average is p*top, and where it is not recorded.
    """

    layer: str
    p: float
    intersection: int
    top: int
    size: int
    expected: float | None = None


def top_count(p: float, size: int) -> int:
    """Return how many of `size` weights are the largest p of them: p * size, halves rounded up."""
    # The product is rounded first, since 0.15 * 10 and its like fall a hair beside the half.
    return math.floor(round(p * size, 6) + 0.5)


def kept_count(sparsity: float, size: int) -> int:
    """Return how many of `size` weights stay at a sparsity."""
    return size - math.floor(round(sparsity * size, 6) + 0.5)


def pooled(counts: Iterable[Count]) -> float:
    """Return the overlap ratio of some counts taken together: all shared indices over all indices of one set."""
    rows = list(counts)
    top = sum(count.top for count in rows)
    if top == 0:
        raise ValueError("no layer is large enough to hold a single weight of its top p; choose a larger p")
    return sum(count.intersection for count in rows) / top


def pooled_level(counts: Iterable[Count]) -> float | None:
    """Return the level of the mask alone of some counts taken together: all expected indices over all of one set.

    None where a count lacks its expected intersection, or no set holds an index.
    """
    rows = list(counts)
    top = sum(count.top for count in rows)
    expected = [count.expected for count in rows if count.expected is not None]
    return sum(expected) / top if top and len(expected) == len(rows) else None
