"""One dataset and network under the two learning rates that claims speak of, and what is compared there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.evidence import Group, Values, average, difference, finite
from engine.judging import Question, Thresholds, Verdict, judge, undecided

# The p at which the paper compares starts and ancestors.
STARTS_P = 0.2
NAMES = {"winning_ticket": "winning ticket", "reinit": "random reinit", "rewind": "rewind", "finetune": "fine-tune"}

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
    return f"sparsity {round(100 * sparsity, 1):g} %"


def by_pruner(case: Case) -> Iterator[tuple[str, Scope]]:
    for pruner in case.group.pruners():
        yield pruner, {**case.scope, "pruner": pruner}


def missing_rate(claim: str, scope: Scope, unit: str, which: str) -> Verdict:
    return undecided(
        claim, scope, unit, f"It takes runs at a {which} learning rate.", f"no runs at a {which} learning rate"
    )


def across(
    claim: str,
    case: Case,
    scope: Scope,
    question: Question,
    compared: Mapping[str, tuple[Values, str]],
    field: str = "sparsity",
) -> Verdict:
    """Return the verdict on the mean over what is compared, of the seeds that have all of it, with each as a part."""
    parts = [
        judge(claim, {**scope, field: name}, question, values, case.thresholds, missing)
        for name, (values, missing) in compared.items()
        if values or missing
    ]
    if not parts:
        return undecided(
            claim, scope, question.unit, question.told(case.thresholds), f"no runs for {question.what} yet"
        )
    values = average(values for values, _ in compared.values())
    notes = dict.fromkeys(note for _, note in compared.values() if note)
    whole = judge(claim, scope, question, values, case.thresholds, next(iter(notes), ""))
    kind = "values of p" if field == "p" else "sparsities"
    told = f"{whole.reason}, mean over {len(parts)} {kind}" if len(parts) > 1 else whole.reason
    return Verdict(
        claim, whole.scope, whole.outcome, whole.effect, whole.low, whole.high, whole.unit, whole.n, whole.rule, told,
        tuple(parts),
    )  # fmt: skip


def starts(case: Case, pruner: str, rate: float, one: str, other: str) -> dict[str, tuple[Values, str]]:
    """Return one start minus another (or dense) by sparsity."""
    group = case.group
    found = {}
    for sparsity in group.sparsities(pruner, rate):
        others = group.dense(rate) if other == "dense" else group.accuracy(pruner, rate, sparsity, other)
        mine = group.accuracy(pruner, rate, sparsity, one)
        if mine and others:
            found[sparsity_name(sparsity)] = difference(mine, others)
    return found


def over_chance(
    case: Case, pair: str, pruner: str | None, rate: float, sparsity: float, p: float
) -> tuple[Values, str]:
    return finite({seed: ratio - p for seed, ratio in case.group.ratio(pair, pruner, rate, sparsity, p).items()})


def nearest(places: Iterable[tuple[str | None, float, float]], pruner: str) -> list[tuple[float, float]]:
    """Return each sparsity of a pruner with the p nearest to the one that the paper compares at."""
    by_sparsity: dict[float, list[float]] = {}
    for name, sparsity, p in places:
        if name == pruner:
            by_sparsity.setdefault(sparsity, []).append(p)
    return [(sparsity, min(ps, key=lambda p: abs(p - STARTS_P))) for sparsity, ps in sorted(by_sparsity.items())]
