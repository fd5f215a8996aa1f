"""One dataset and network under the two learning rates that claims speak of, and what is compared there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.evidence import Gap, Group, average, difference, finite
from engine.judging import Question, Thresholds, Verdict, judge, undecided
from engine.registry import STARTS

# The p at which the paper compares starts and ancestors.
STARTS_P = 0.2
NAMES = {**{name: start.title for name, start in STARTS.items()}, "dense": "dense"}

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
    def similar(self) -> float:
        return self.thresholds.similar_on(self.group.dataset)


def rate_name(rate: float | None) -> str:
    return "none" if rate is None else f"learning rate {rate:g}"


def sparsity_name(sparsity: float) -> str:
    return f"sparsity {round(100 * sparsity, 4):g} %"


def by_pruner(case: Case) -> Iterator[tuple[str, Scope]]:
    for pruner in case.group.pruners():
        yield pruner, {**case.scope, "pruner": pruner}


def missing_rate(case: Case, claim: str, scope: Scope, unit: str, parts: Sequence[Verdict] = ()) -> Verdict:
    """Return the verdict on a claim for which one of the two rates is missing; parts: what the other one gives."""
    which = "low" if case.low is None else "high"
    rule = f"It takes runs at a {which} learning rate."
    return undecided(claim, scope, unit, rule, f"no runs at a {which} learning rate", parts)


def across(
    claim: str,
    case: Case,
    scope: Scope,
    question: Question,
    compared: Mapping[str, Gap],
    absent: str = "",
    field: str = "sparsity",
) -> Verdict:
    """Return the verdict on the mean over what is compared, with each of it as a part; see `engine.evidence.average`.

    absent: what to say where nothing is compared.
    """
    parts = [judge(claim, {**scope, field: name}, question, gap, case.thresholds) for name, gap in compared.items()]
    rule = question.told(case.thresholds)
    if not parts:
        return undecided(claim, scope, question.unit, rule, absent or f"no runs for {question.what}")
    gap, taken = average(list(compared.values()), case.thresholds.min_seeds)
    whole = judge(claim, scope, question, gap, case.thresholds)
    reason, over = whole.reason, ""
    if len(parts) > 1:
        kind = "values of p" if field == "p" else "sparsities"
        over = f"{taken if taken == len(parts) else f'{taken} of {len(parts)}'} {kind}"
        rule = f"For each seed the mean over {kind}, then over seeds. {rule}"
        reason += f"; mean over {over}"
    return replace(whole, rule=rule, reason=reason, parts=tuple(parts), over=over)


def starts(case: Case, pruner: str, rate: float, one: str, other: str) -> dict[str, Gap]:
    """Return one start minus another (or dense) by sparsity."""
    group = case.group
    found = {}
    for sparsity in group.sparsities(pruner, rate):
        others = group.dense(rate) if other == "dense" else group.accuracy(pruner, rate, sparsity, other)
        mine = group.accuracy(pruner, rate, sparsity, one)
        if mine and others:
            found[sparsity_name(sparsity)] = difference(mine, others)
    return found


def absent(case: Case, pruner: str, rate: float, *names: str) -> str:
    """Return in words which starts, dense among them, have no run at a rate under a pruner."""
    group = case.group
    gone = [
        NAMES[name]
        for name in names
        if not (
            group.dense(rate)
            if name == "dense"
            else any(group.accuracy(pruner, rate, sparsity, name) for sparsity in group.sparsities(pruner, rate))
        )
    ]
    what = " and ".join(gone) if gone else f"{' and '.join(NAMES[name] for name in names)} at one sparsity"
    return f"no run of {what} at {rate_name(rate)} has finished"


def over_chance(case: Case, pair: str, pruner: str | None, rate: float, sparsity: float, p: float) -> Gap:
    """Return the overlap ratios of a pair minus p, what independent weights have."""
    return finite({seed: ratio - p for seed, ratio in case.group.ratio(pair, pruner, rate, sparsity, p).items()})


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
