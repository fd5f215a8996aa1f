"""The rounds of gradual pruning: the sparsities on the way to those that a study lists."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.formatting import percent

# The sparsities that the paper's text names (39, 62, 80 and 85 %) fit rounds that remove 15 % of the remaining weights.
PAPER_RATE = 0.15
# A round may exceed the rate by this fraction of it: 39 % means 38.6 %, which is three rounds of 15 %.
TOLERANCE = 0.02
# A sparsity that is a round of the rate may be rounded to this many decimals, such as 0.278 for 1 - 0.85^2.
DECIMALS = (3, 4, 5, 6)
# The limit on rounds and powers is far above the number of trainings that a study may have.
MOST = 10**6


def rounds(sparsities: Sequence[float], rate: float | None) -> tuple[tuple[float, ...], ...]:
    """Return for each listed sparsity the rounds that lead to it from the previous one; the last is the listed one.

    sparsities: increasing. rate: the largest share of the remaining weights that a round removes, above 0 and below 1.
    The rounds are as few as the rate allows, and remove equal shares; where both sparsities are rounds of the rate,
    1 - (1 - rate)^i, so are those in between. Without a rate each sparsity is one round.
    """
    if rate is None:
        return tuple((sparsity,) for sparsity in sparsities)
    chains: list[tuple[float, ...]] = []
    for before, sparsity in pairwise((0.0, *sparsities)):
        count = _count(before, sparsity, rate)
        chains.append((*(_between(before, sparsity, rate, i, count) for i in range(1, count)), sparsity))
    return tuple(chains)


def between(sparsities: Sequence[float], rate: float | None) -> int:
    """Return how many rounds lie between the listed sparsities, without listing them: a tiny rate has many."""
    if rate is None:
        return 0
    return sum(_count(before, sparsity, rate) - 1 for before, sparsity in pairwise((0.0, *sparsities)))


def removed(before: float, after: float) -> float:
    """Return the share of the remaining weights that a round from one sparsity to a higher one removes."""
    return (after - before) / (1 - before)


def described(sparsities: Sequence[float], rate: float | None) -> str:
    """Return in words what each round removes.

    For example '38.6 % in 3 rounds of 15 %; 62.3 % in 3 rounds of 15 %', or without a rate 'one round each: 38.6 %
    removes 38.6 % of what is left; 80.3 % removes 67.9 %: the paper removes 15 %'.
    """
    if rate is not None:
        pairs = pairwise((0.0, *sparsities))
        return "; ".join(f"{percent(after)} in {_rounds_of(before, after, rate)}" for before, after in pairs)
    parts = [f"{percent(s)} removes {_share(removed(before, s))}" for before, s in pairwise((0.0, *sparsities))]
    parts[0] += " of what is left"
    as_in_paper = between(sparsities, PAPER_RATE) == 0
    return f"one round each: {'; '.join(parts)}" + ("" if as_in_paper else f": the paper removes {percent(PAPER_RATE)}")


def _rounds_of(before: float, after: float, rate: float) -> str:
    """Return the rounds from one listed sparsity to the next in words, such as '3 rounds of 15 %'."""
    count = _count(before, after, rate)
    share = rate if _powers(before, after, rate) else 1 - ((1 - after) / (1 - before)) ** (1 / count)
    return f"{count} round{'s' * (count > 1)} of {_share(share)}"


def _share(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _count(before: float, after: float, rate: float) -> int:
    if powers := _powers(before, after, rate):
        return powers[1] - powers[0]
    least = math.log1p(-min(rate * (1 + TOLERANCE), 1 - 1e-12))
    total = math.log((1 - after) / (1 - before))
    # A quotient that is a whole number but for rounding errors needs no further round.
    return max(1, math.ceil(min(total / least, MOST) - 1e-9))


def _between(before: float, after: float, rate: float, index: int, count: int) -> float:
    """Return the sparsity of a round between two listed ones; index: from 1, count: the number of rounds."""
    if powers := _powers(before, after, rate):
        kept_before = (1 - rate) ** (powers[0] + index - 1)
        return _written(1 - kept_before * (1 - rate), kept_before * rate)
    kept = ((1 - after) / (1 - before)) ** (1 / count)
    kept_before = (1 - before) * kept ** (index - 1)
    return _written(1 - kept_before * kept, kept_before * (1 - kept))


def _written(sparsity: float, step: float) -> float:
    """Return a sparsity rounded to three decimals, or to more where the step to it is under 20 units of the last."""
    decimals = max(DECIMALS[0], math.ceil(-math.log10(step / 20)))
    return _rounded(sparsity, decimals)


def _rounded(sparsity: float, decimals: int) -> float:
    # 1 - 0.85^2 is 0.2775 but slightly less in binary, and halves are to be rounded up.
    return round(sparsity + 1e-9, decimals) if decimals < 9 else sparsity


def _powers(before: float, after: float, rate: float) -> tuple[int, int] | None:
    """Return the i of two sparsities that are rounds of the rate, 1 - (1 - rate)^i; None if one of them is not."""
    first, last = _power(before, rate), _power(after, rate)
    return None if first is None or last is None or last <= first else (first, last)


def _power(sparsity: float, rate: float) -> int | None:
    i = round(min(math.log1p(-sparsity) / math.log1p(-rate), MOST))
    exact = 1 - (1 - rate) ** i
    is_round = any(_rounded(exact, decimals) == sparsity for decimals in DECIMALS)
    # A sparsity rounded too coarsely could mean several rounds.
    step = rate * (1 - rate) ** i
    return i if abs(sparsity - exact) < (step / 4 if is_round else 1e-12) else None


def pruned_to(
    sparsities: Sequence[float], rate: float | None, gradual: bool
) -> Iterator[tuple[tuple[float, ...], bool]]:
    """Yield for each round of a pruner the sparsities pruned to so far, and whether the study lists the last of them.

    gradual: whether the pruner prunes in rounds; else it reaches each listed sparsity in one step.
    """
    if not gradual:
        yield from (((sparsity,), True) for sparsity in sparsities)
        return
    so_far: tuple[float, ...] = ()
    for chain in rounds(sparsities, rate):
        for sparsity in chain:
            so_far = (*so_far, sparsity)
            yield so_far, sparsity == chain[-1]
