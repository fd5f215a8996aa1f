"""The runs of one dataset and network at the two learning rates of the claims, and the differences between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine import formatting
from engine.claims.evidence import Gap, Group, difference, finite
from engine.claims.questions import Thresholds
from engine.claims.verdict import Verdict, missing
from engine.registry import start_title

# The p at which the paper compares starts and ancestors.
STARTS_P = 0.2

# What a verdict is about: the names of fields of a study, or of an axis, and their values as text.
ClaimScope = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A group of runs with the low and the high learning rate of the claims; None for a rate without runs."""

    group: Group
    low: float | None
    high: float | None
    thresholds: Thresholds

    @property
    def scope(self) -> ClaimScope:
        return {"dataset": self.group.dataset, "network": self.group.network}

    @property
    def margin(self) -> float:
        """The points within which two accuracies are similar, and beyond which a gap is clear."""
        return self.thresholds.margin_on(self.group.dataset)

    @property
    def rates(self) -> list[float]:
        """The two rates without those that are None."""
        return [rate for rate in (self.low, self.high) if rate is not None]


def rate_name(rate: float | None) -> str:
    return "none" if rate is None else f"learning rate {rate:g}"


def sparsity_name(sparsity: float) -> str:
    return f"sparsity {formatting.percent(sparsity)}"


def by_pruner(case: Case) -> Iterator[tuple[str, ClaimScope]]:
    for pruner in case.group.pruners():
        yield pruner, {**case.scope, "pruner": pruner}


def missing_rate(case: Case, claim: str, scope: ClaimScope, unit: str, parts: Sequence[Verdict] = ()) -> Verdict:
    """Return the verdict on a claim that lacks runs at one of the two rates; parts: the verdicts at the other rate."""
    which = "low" if case.low is None else "high"
    rule = f"Needs runs at a {which} learning rate."
    return missing(claim, scope, unit, rule, f"no runs at a {which} learning rate", parts)


def starts(case: Case, pruner: str, rate: float, one: str, other: str) -> dict[str, Gap]:
    """Return the accuracy of one start minus that of another, or of dense networks, by sparsity."""
    group = case.group
    gaps = {}
    for sparsity in group.sparsities(pruner, rate):
        first = group.accuracy(pruner, rate, sparsity, one)
        second = group.dense(rate) if other == "dense" else group.accuracy(pruner, rate, sparsity, other)
        if first and second:
            gaps[sparsity_name(sparsity)] = difference(first, second)
    return gaps


def between(one: Mapping[str, Gap], other: Mapping[str, Gap]) -> dict[str, Gap]:
    """Return one minus the other, seed by seed, at the names that both have."""
    return {name: contrast(gap, other[name]) for name, gap in one.items() if name in other}


def contrast(one: Gap, other: Gap) -> Gap:
    """Return one difference minus another, seed by seed."""
    gap = difference(one.values, other.values)
    odd = one.odd | other.odd
    return replace(gap, odd=odd, lacking=(gap.lacking | one.lacking | other.lacking) - odd)


def absent(case: Case, pruner: str, rate: float, *names: str) -> str:
    """Return in words which starts, dense among them, have no run at a rate under a pruner."""
    group = case.group
    lacking = [
        start_title(name)
        for name in names
        if not (
            group.dense(rate)
            if name == "dense"
            else any(group.accuracy(pruner, rate, sparsity, name) for sparsity in group.sparsities(pruner, rate))
        )
    ]
    what = " and ".join(lacking) if lacking else f"{' and '.join(map(start_title, names))} at one sparsity"
    return f"no run of {what} at {rate_name(rate)} has finished"


def over_chance(case: Case, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Gap:
    """Return the overlap ratios of a pair minus p, the overlap of independent weights."""
    return finite({seed: ratio - p for seed, ratio in case.group.ratio(pair, pruner, rate, sparsity, p).items()})


def over_mask(case: Case, pair: str, pruner: str, rate: float, sparsity: float, p: float) -> Gap:
    """Return the overlap ratios of a pair minus the level of the mask alone, for seeds with a recorded level."""
    return difference(
        case.group.ratio(pair, pruner, rate, sparsity, p), case.group.level(pair, pruner, rate, sparsity, p)
    )


def nearest(case: Case, pairs: Sequence[str], pruner: str, rates: Sequence[float]) -> tuple[float, list[float]]:
    """Return the recorded p nearest to the one that the paper compares at, and the sparsities that have it.

    A claim compares at one p, so that no mean mixes several. Without recorded overlaps there are no sparsities.
    """
    places = [
        (sparsity, p)
        for pair in pairs
        for rate in rates
        for name, sparsity, p in case.group.overlap_places(pair, rate)
        if name == pruner
    ]
    if not places:
        return STARTS_P, []
    near = min((p for _, p in places), key=lambda p: (round(abs(p - STARTS_P), 6), p))
    return near, sorted({sparsity for sparsity, p in places if p == near})
