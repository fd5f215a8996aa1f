"""Claim E2: the order of the pruners by accuracy, where their masks differ."""

from collections.abc import Iterator
from dataclasses import replace

from engine.claims.across import across
from engine.claims.cases import Case, missing_rate, rate_name, sparsity_name
from engine.claims.evidence import difference
from engine.claims.questions import Question
from engine.claims.verdict import Verdict, combine
from engine.registry import pruner_title, start_title

# The paper's three pruners are ordered by the accuracy that it reports, the best first.
COMPARED = ("admm", "iterative", "oneshot")


def pruner_order(claim: str, case: Case) -> Iterator[Verdict]:
    """E2: ADMM not below iterative, and iterative not below one-shot.

    Runs in which two pruners have the same mask are left out, because they would show both as equal. The verdict is
    undecided where ADMM's masks are almost those of one-shot pruning.
    """
    rule = (
        "ADMM not below iterative, and iterative not below one-shot, for fine-tune and for winning tickets. Holds "
        "where all four hold, fails where one fails; otherwise undecided."
    )
    rate = case.high
    if rate is None:
        yield missing_rate(case, claim, case.scope, "points")
        return
    parts = [
        _compared_pruners(claim, case, rate, start, one, other)
        for start in ("finetune", "winning_ticket")
        for one, other in (("admm", "iterative"), ("iterative", "oneshot"))
    ]
    yield combine(claim, case.scope, parts, rule)


def _compared_pruners(claim: str, case: Case, rate: float, start: str, one: str, other: str) -> Verdict:
    group = case.group
    title, first, second = start_title(start), pruner_title(one), pruner_title(other)
    what = f"{title} under {first} minus under {second}"
    compared = {}
    for sparsity in group.sparsities(one, rate):
        same = group.shared((one, other), rate, sparsity, start)
        mine, theirs = (
            {seed: value for seed, value in group.accuracy(name, rate, sparsity, start).items() if seed not in same}
            for name in (one, other)
        )
        if mine and theirs:
            compared[sparsity_name(sparsity)] = difference(mine, theirs)
    place = {**case.scope, "learning_rate": rate_name(rate), "against": f"{title}, {first} over {second}"}
    lacking = [pruner_title(name) for name in (one, other)
               if not any(group.accuracy(name, rate, s, start) for s in group.sparsities(name, rate))]  # fmt: skip
    absent = f"{first} and {second} have no sparsity in common at which their masks differ"
    if lacking:
        absent = f"no run of {title} under {' and '.join(lacking)} at {rate_name(rate)} has finished"
    reasons = unmoved(case, rate) if one == "admm" else {}

    def adjust(name: str, part: Verdict) -> Verdict:
        if name not in reasons or part.outcome == "missing":
            return part
        return replace(part, outcome="undecided", blocked=reasons[name], reason=f"{part.reason}; {reasons[name]}")

    question = Question(what, "matches", case.margin)
    return across(claim, case, place, question, compared, absent, families=4, adjust=adjust)


def unmoved(case: Case, rate: float) -> dict[str, str]:
    """Return a sentence for each sparsity at which ADMM's masks are almost one-shot's, on average over seeds."""
    reasons = {}
    for sparsity in case.group.sparsities("admm", rate):
        moved = case.group.moved("admm", rate, sparsity)
        mean = sum(moved.values()) / len(moved) if moved else 1.0
        if mean < case.thresholds.moved:
            reasons[sparsity_name(sparsity)] = (
                f"ADMM's mask is one-shot's but for {100 * mean:.2g} % of the weights that it keeps, so that one "
                f"pruner would be compared with itself (needs {100 * case.thresholds.moved:g} %; a smaller start of "
                "rho moves more)"
            )
    return reasons
