"""The paper's claims held against runs: one verdict for each claim, dataset, network and, where it matters, pruner."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from engine import verdict_accuracy, verdict_overlap
from engine.cases import Case
from engine.claims import CLAIMS
from engine.evidence import Group, OverlapPoint, Point, groups
from engine.judging import Thresholds, Verdict

__all__ = ["OverlapPoint", "Point", "Thresholds", "Verdict", "evaluate", "winning_property"]

# The paper's two learning rates. Of a study with others, the lowest and the highest; one alone is high from here on.
LOW, HIGH, ALONE_HIGH = 0.01, 0.1, 0.05


def evaluate(
    points: Iterable[Point],
    overlaps: Iterable[OverlapPoint],
    thresholds: Thresholds | None = None,
    low: float | None = None,
    high: float | None = None,
    claims: Sequence[str] | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdicts on all claims, or some, in the order of the claims, then of dataset, network and pruner.

    low, high: the learning rates that claims call so; left out, 0.01 and 0.1 where both are there, else the lowest and
    the highest; a rate that is alone is high from 0.05 on, and low below. The order of points does not matter; a seed
    counts where both of its runs are there and finite. ValueError where low is not below high, or a claim is unknown.
    """
    if low is not None and high is not None and low >= high:
        raise ValueError(f"the low learning rate, {low:g}, must lie below the high one, {high:g}; choose two rates")
    if odd := [name for name in claims or () if name not in CLAIMS]:
        raise ValueError(f"no claim {', '.join(odd)}; allowed: {', '.join(CLAIMS)}")
    thresholds = thresholds or Thresholds()
    cases = [_case(group, thresholds, low, high) for group in groups(points, overlaps)]
    wanted = [name for name in _EVALUATED if claims is None or name in claims]
    return tuple(verdict for name in wanted for case in cases for verdict in _EVALUATED[name](name, case))


def winning_property(points: Iterable[Point], thresholds: Thresholds | None = None) -> tuple[Verdict, ...]:
    """Return whether the ticket matches dense and beats reinit, for every learning rate, pruner and sparsity."""
    thresholds = thresholds or Thresholds()
    return tuple(
        verdict
        for group in groups(points, ())
        for pruner in group.pruners()
        for rate in group.rates()
        for verdict in verdict_accuracy.property_at(Case(group, None, None, thresholds), pruner, rate, thresholds)
    )


def _case(group: Group, thresholds: Thresholds, low: float | None, high: float | None) -> Case:
    return Case(group, *rates(group.rates(), low, high), thresholds)


def rates(
    found: Sequence[float], low: float | None = None, high: float | None = None
) -> tuple[float | None, float | None]:
    """Return which of some learning rates are the low and the high one, each None where there is none; see `evaluate`.

    low, high: given, they are these.
    """
    if low is None and high is None and len(found) == 1:
        return (None, found[0]) if found[0] >= ALONE_HIGH else (found[0], None)
    both = LOW in found and HIGH in found
    if low is None:
        below = [rate for rate in found if high is None or rate < high]
        low = LOW if both and LOW in below else min(below, default=None)
    if high is None:
        above = [rate for rate in found if low is None or rate > low]
        high = HIGH if both and HIGH in above else max(above, default=None)
    return low, high


_EVALUATED: dict[str, Callable[[str, Case], Iterator[Verdict]]] = {
    "A1": verdict_accuracy.beats_at_low,
    "A2": verdict_accuracy.similar_at_high,
    "A3": verdict_accuracy.dense,
    "A4": verdict_accuracy.winning,
    "B1": verdict_overlap.retention,
    "C1": verdict_accuracy.close,
    "D1": verdict_overlap.start_overlap,
    "E1": verdict_accuracy.finetune_wins,
    "E2": verdict_accuracy.pruner_order,
    "E3": verdict_accuracy.furthest,
    "F1": verdict_overlap.ancestors,
    "G1": verdict_accuracy.rewinding,
}
