"""The paper's claims held against runs: one verdict for each claim, dataset, network and, where it matters, pruner."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from engine import verdict_accuracy, verdict_overlap
from engine.cases import Case
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
    the highest. The order of points does not matter; a seed counts where both of its runs are there and finite.
    """
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
    rates = group.rates()
    if low is None and high is None and len(rates) == 1:
        alone = rates[0]
        is_high = alone >= ALONE_HIGH
        return Case(group, None if is_high else alone, alone if is_high else None, thresholds)
    both = LOW in rates and HIGH in rates
    return Case(
        group,
        low if low is not None else LOW if both else rates[0],
        high if high is not None else HIGH if both else rates[-1],
        thresholds,
    )


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
