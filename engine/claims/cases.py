"""One dataset and network under the two learning rates that claims speak of, and the differences between their runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.claims.evidence import Gap, Group, difference, finite
from engine.claims.questions import Thresholds
from engine.claims.verdict import Verdict, missing
from engine.formatting import percent as shown_percent
from engine.registry import start_title

# The p at which the paper compares starts and ancestors.
STARTS_P = 0.2

Scope = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A group with the two rates that its claims speak of, None for one that it does not have."""

    group: Group
    low: float | None
    high: float | None
    thresholds: Thresholds

    @property
    def scope(self) -> Scope:
        return {"dataset": self.group.dataset, "network": self.group.network}

    @property
    def margin(self) -> float:
        """The points within which two accuracies are similar, and beyond which a gap is clear."""
        return self.thresholds.margin_on(self.group.dataset)

    @property
    def rates(self) -> list[float]:
        """The two rates, without one that is missing."""
        return [rate for rate in (self.low, self.high) if rate is not None]


def rate_name(rate: float | None) -> str:
    return "none" if rate is None else f"learning rate {rate:g}"


def sparsity_name(sparsity: float) -> str:
    return f"sparsity {shown_percent(sparsity)}"


def by_pruner(case: Case) -> Iterator[tuple[str, Scope]]:
    for pruner in case.group.pruners():
        yield pruner, {**case.scope, "pruner": pruner}


def missing_rate(case: Case, claim: str, scope: Scope, unit: str, parts: Sequence[Verdict] = ()) -> Verdict:
    """Return the verdict on a claim for which one of the two rates is missing; parts: what the other one gives."""
    which = "low" if case.low is None else "high"
    rule = f"Needs runs at a {which} learning rate."
    return missing(claim, scope, unit, rule, f"no runs at a {which} learning rate", parts)


def starts(case: Case, pruner: str, rate: float, one: str, other: str) -> dict[str, Gap]:
    """Return one start minus another (or dense) by sparsity."""
    group = case.group
    gaps = {}
    for sparsity in group.sparsities(pruner, rate):
        others = group.dense(rate) if other == "dense" else group.accuracy(pruner, rate, sparsity, other)
        mine = group.accuracy(pruner, rate, sparsity, one)
        if mine and others:
            gaps[sparsity_name(sparsity)] = difference(mine, others)
    return gaps


def between(one: Mapping[str, Gap], other: Mapping[str, Gap]) -> dict[str, Gap]:
    """Return one minus the other by seed, at what both have."""
    return {name: contrast(gap, other[name]) for name, gap in one.items() if name in other}


def contrast(one: Gap, other: Gap) -> Gap:
    """Return one difference minus another, seed by seed."""
    gap = difference(one.values, other.values)
    odd = one.odd | other.odd
    return replace(gap, odd=odd, lacking=(gap.lacking | one.lacking | other.lacking) - odd)


def absent(case: Case, pruner: str, rate: float, *names: str) -> str:
    """Return in words which starts, dense among them, have no run at a rate under a pruner."""
    group = case.group
    gone = [
        start_title(name)
        for name in names
        if not (
            group.dense(rate)
            if name == "dense"
            else any(group.accuracy(pruner, rate, sparsity, name) for sparsity in group.sparsities(pruner, rate))
        )
    ]
    what = " and ".join(gone) if gone else f"{' and '.join(map(start_title, names))} at one sparsity"
    return f"no run of {what} at {rate_name(rate)} has finished"


def over_chance(case: Case, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Gap:
    """Return the overlap ratios of a pair minus p, what independent weights have."""
    return finite({seed: ratio - p for seed, ratio in case.group.ratio(pair, pruner, rate, sparsity, p).items()})


def over_mask(case: Case, pair: str, pruner: str, rate: float, sparsity: float, p: float) -> Gap:
    """Return the overlap ratios of a pair minus the level that the mask alone gives, where that is recorded."""
    return difference(
        case.group.ratio(pair, pruner, rate, sparsity, p), case.group.level(pair, pruner, rate, sparsity, p)
    )


def nearest(case: Case, pairs: Sequence[str], pruner: str, rates: Sequence[float]) -> tuple[float, list[float]]:
    """Return of the recorded p the nearest to the one that the paper compares at, and the sparsities that have it.

    One p for all that a claim compares, so that no mean mixes several. Without any record, no sparsities.
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
