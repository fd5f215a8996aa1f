"""The claims about accuracy (A, C, E and G of the paper), each for one case."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from engine.cases import NAMES, Case, Scope, absent, across, by_pruner, missing_rate, rate_name, sparsity_name, starts
from engine.evidence import Values, difference
from engine.judging import Outcome, Question, Thresholds, Verdict, all_of, judge, undecided, within
from engine.registry import PRUNERS

# The paper's three, the one that it finds ahead first.
_COMPARED = {name: PRUNERS[name].title for name in ("admm", "iterative", "oneshot")}


def beats_at_low(claim: str, case: Case) -> Iterator[Verdict]:
    """A1: winning ticket minus random reinit at the low rate exceeds a clear gap."""
    question = Question("winning ticket minus random reinit", "exceeds", case.thresholds.clear)
    yield from _gap(claim, case, case.low, question)


def similar_at_high(claim: str, case: Case) -> Iterator[Verdict]:
    """A2: winning ticket minus random reinit at the high rate is within what is similar."""
    yield from _gap(claim, case, case.high, Question("winning ticket minus random reinit", "within", case.similar))


def _gap(claim: str, case: Case, rate: float | None, question: Question) -> Iterator[Verdict]:
    pair = ("winning_ticket", "reinit")
    for pruner, scope in by_pruner(case):
        if rate is None:
            yield missing_rate(case, claim, scope, "points")
        else:
            place = {**scope, "learning_rate": rate_name(rate)}
            compared, gone = starts(case, pruner, rate, *pair), absent(case, pruner, rate, *pair)
            yield across(claim, case, place, question, compared, gone)


def dense(claim: str, case: Case) -> Iterator[Verdict]:
    """A3: dense accuracy at the high rate above that at the low one."""
    question = Question("dense accuracy at the high rate minus at the low rate", "exceeds", case.thresholds.clear)
    if case.low is None or case.high is None:
        yield missing_rate(case, claim, case.scope, "points")
        return
    gap = difference(case.group.dense(case.high), case.group.dense(case.low))
    yield judge(claim, case.scope, question, gap, case.thresholds)


def property_at(case: Case, pruner: str, rate: float, thresholds: Thresholds) -> Iterator[Verdict]:
    """Yield the verdict on the winning property at each sparsity."""
    group = case.group
    for sparsity in group.sparsities(pruner, rate):
        ticket = group.accuracy(pruner, rate, sparsity, "winning_ticket")
        reinit = group.accuracy(pruner, rate, sparsity, "reinit")
        if not ticket or not reinit:
            continue
        scope = {**case.scope, "pruner": pruner, "learning_rate": rate_name(rate), "sparsity": sparsity_name(sparsity)}
        asked = (
            (Question("winning ticket minus dense", "matches", case.similar), group.dense(rate), "against dense"),
            (Question("winning ticket minus random reinit", "exceeds", thresholds.clear), reinit, "against reinit"),
        )
        parts = []
        for question, other, against in asked:
            parts.append(judge("A4", {**scope, "against": against}, question, difference(ticket, other), thresholds))
        yield all_of("A4", scope, parts, "The ticket matches dense and beats random reinit at this sparsity.")


def winning(claim: str, case: Case) -> Iterator[Verdict]:
    """A4: the winning property at the low rate only."""
    rule = (
        "The winning property is there at a rate where the ticket matches dense and beats reinit at one sparsity or "
        "more, with intervals widened for the number of sparsities looked at (Bonferroni); it is absent where it fails "
        "at every sparsity. The claim holds where it is there at the low rate and absent at the high one, and fails "
        "where it is absent at the low rate or there at the high one; otherwise undecided."
    )
    for pruner, scope in by_pruner(case):
        if case.low is None or case.high is None:
            rates = [rate for rate in (case.low, case.high) if rate is not None]
            found = [part for rate in rates for part in property_at(case, pruner, rate, case.thresholds)]
            yield missing_rate(case, claim, scope, "points", found)
            continue
        (low, at_low, low_parts), (high, at_high, high_parts) = (
            _somewhere(case, pruner, rate) for rate in (case.low, case.high)
        )
        outcome: Outcome = "holds" if (low, high) == ("there", "absent") else "undecided"
        if low == "absent" or high == "there":
            outcome = "fails"
        # The rate whose part of the claim came out otherwise, or else the one that is undecided, or else the low one.
        by_high = high == "there" or (low == "there" and high != "absent")
        decisive = at_high if by_high and low != "absent" else at_low
        gone = [absent(case, pruner, rate, "winning_ticket", "reinit", "dense") for rate, state in
                ((case.low, at_low), (case.high, at_high)) if state is None]  # fmt: skip
        reason = f"{low} at {rate_name(case.low)}, {high} at {rate_name(case.high)}"
        parts = (*low_parts, *high_parts)
        if gone or decisive is None:
            yield undecided(claim, scope, "points", rule, f"{reason}; {'; '.join(gone)}", parts)
            continue
        told = within(decisive, scope)
        yield replace(
            decisive, claim=claim, scope=dict(scope), outcome=outcome, rule=rule, parts=parts,
            reason=f"{reason}; nearest to it, {told}: {decisive.reason}",
        )  # fmt: skip


def _somewhere(case: Case, pruner: str, rate: float) -> tuple[str, Verdict | None, list[Verdict]]:
    """Return whether the winning property is there, absent or undecided at a rate, where nearest, and each sparsity."""
    each = list(property_at(case, pruner, rate, case.thresholds))
    if not each:
        return "not to be seen", None, []
    widened = case.thresholds.model_copy(update={"confidence": 1 - (1 - case.thresholds.confidence) / len(each)})
    strict = list(property_at(case, pruner, rate, widened))
    if any(part.outcome == "holds" for part in strict):
        return "there", max((part for part in strict if part.outcome == "holds"), key=lambda part: part.room), each
    if all(part.outcome == "fails" for part in each):
        return "absent", max(each, key=lambda part: part.room), each
    return "undecided", max((p for p in strict if p.outcome != "fails"), key=lambda part: part.room), each


def close(claim: str, case: Case) -> Iterator[Verdict]:
    """C1: fine-tune matches dense at the same rate."""
    question = Question("fine-tune minus dense", "matches", case.similar)
    for pruner, scope in by_pruner(case):
        for rate in case.group.rates():
            compared = starts(case, pruner, rate, "finetune", "dense")
            if compared or rate in (case.low, case.high):
                place = {**scope, "learning_rate": rate_name(rate)}
                yield across(claim, case, place, question, compared, absent(case, pruner, rate, "finetune", "dense"))


def _ordered(claim: str, case: Case, pruner: str, scope: Scope, pairs: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
    assert case.high is not None
    for one, other in pairs:
        question = Question(f"{NAMES[one]} minus {NAMES[other]}", "exceeds", case.thresholds.clear)
        place = {**scope, "learning_rate": rate_name(case.high), "against": f"{NAMES[one]} over {NAMES[other]}"}
        compared, gone = starts(case, pruner, case.high, one, other), absent(case, pruner, case.high, one, other)
        yield across(claim, case, place, question, compared, gone)


def finetune_wins(claim: str, case: Case) -> Iterator[Verdict]:
    """E1: fine-tune above ticket and reinit under every pruner."""
    rule = "Fine-tune above winning ticket and above random reinit, under every pruner of the study."
    if case.high is None:
        yield missing_rate(case, claim, case.scope, "points")
        return
    pairs = (("finetune", "winning_ticket"), ("finetune", "reinit"))
    parts = [part for pruner, scope in by_pruner(case) for part in _ordered(claim, case, pruner, scope, pairs)]
    yield (
        all_of(claim, case.scope, parts, rule)
        if parts
        else undecided(claim, case.scope, "points", rule, "no pruned network has finished")
    )


def rewinding(claim: str, case: Case) -> Iterator[Verdict]:
    """G1: fine-tune above rewind, and rewind above the ticket."""
    pairs = (("finetune", "rewind"), ("rewind", "winning_ticket"))
    for pruner, scope in by_pruner(case):
        if case.high is None:
            yield missing_rate(case, claim, scope, "points")
        else:
            parts = list(_ordered(claim, case, pruner, scope, pairs))
            yield all_of(claim, scope, parts, "Fine-tune above rewind, and rewind above the winning ticket.")


def pruner_order(claim: str, case: Case) -> Iterator[Verdict]:
    """E2: ADMM not below iterative, and iterative not below one-shot.

    Sparsities at which two pruners share their training, as iterative pruning's first round and one-shot pruning do,
    are left out: they would say that both are equal.
    """
    rule = "ADMM not below iterative, and iterative not below one-shot, for fine-tune and for winning tickets."
    group, rate = case.group, case.high
    if rate is None:
        yield missing_rate(case, claim, case.scope, "points")
        return
    parts = []
    for start in ("finetune", "winning_ticket"):
        for one, other in (("admm", "iterative"), ("iterative", "oneshot")):
            question = Question(f"{NAMES[start]} under {_COMPARED[one]} minus under {_COMPARED[other]}", "matches",
                                case.similar)  # fmt: skip
            compared = {}
            for sparsity in group.sparsities(one, rate):
                mine, theirs = (group.accuracy(name, rate, sparsity, start) for name in (one, other))
                same = group.shared((one, other), rate, sparsity, start)
                mine, theirs = ({s: v for s, v in runs.items() if s not in same} for runs in (mine, theirs))
                if mine and theirs:
                    compared[sparsity_name(sparsity)] = difference(mine, theirs)
            place = {
                **case.scope,
                "learning_rate": rate_name(rate),
                "against": f"{NAMES[start]}, {_COMPARED[one]} over {_COMPARED[other]}",
            }
            gone = [_COMPARED[name] for name in (one, other)
                    if not any(group.accuracy(name, rate, s, start) for s in group.sparsities(name, rate))]  # fmt: skip
            why = f"no run of {NAMES[start]} under {' and '.join(gone)} at {rate_name(rate)} has finished"
            alike = f"{_COMPARED[one]} and {_COMPARED[other]} have no sparsity in common that is not one training"
            parts.append(across(claim, case, place, question, compared, why if gone else alike))
    yield all_of(claim, case.scope, parts, rule)


def furthest(claim: str, case: Case) -> Iterator[Verdict]:
    """E3: under ADMM, fine-tune matches dense up to the highest sparsity.

    Undecided where the sparsities trained cannot tell: where under all pruners fine-tune matches dense at none of them,
    or at all of them.
    """
    rate = case.high
    if rate is None:
        yield missing_rate(case, claim, case.scope, "sparsity")
        return
    pruners = [name for name in _COMPARED if starts(case, name, rate, "finetune", "dense")]
    scope = {**case.scope, "learning_rate": rate_name(rate)}
    others = [name for name in pruners if name != "admm"]
    question = Question(
        "highest sparsity up to which fine-tune under ADMM matches dense minus the highest under "
        f"{' and '.join(_COMPARED[name] for name in others) or 'another pruner'}",
        "reaches",
        0.0,
        "sparsity",
    )
    rule = (
        f"For each seed, fine-tune matches dense up to a sparsity where at this and every lower one it is at most "
        f"{case.similar:g} points below. {question.told(case.thresholds)} Undecided too where it matches at none or at "
        "all sparsities under every pruner."
    )
    if "admm" not in pruners or not others:
        names = " and ".join(_COMPARED[name] for name in pruners)
        reason = f"fine-tune has finished under {names + ' only' if names else 'no pruner'}"
        yield undecided(claim, scope, "sparsity", rule, f"{reason}; it takes ADMM and another pruner")
        return
    common = sorted(set.intersection(*(_finetuned(case, name, rate) for name in pruners)))
    reached = {name: _reached(case, name, rate, common) for name in pruners}
    best = {
        seed: _highest([reached[name][seed] for name in others])
        for seed in set.intersection(*(set(reached[name]) for name in others))
    }
    verdict = replace(judge(claim, scope, question, difference(reached["admm"], best), case.thresholds), rule=rule)
    ends = {sparsity for name in pruners for sparsity in reached[name].values() if math.isfinite(sparsity)}
    if len(ends) == 1 and ends <= {0.0, *common[-1:]}:
        told = f"at {sparsity_name(common[0])}" if ends == {0.0} else f"up to {sparsity_name(common[-1])}, the highest"
        does = "matches dense" if ends != {0.0} else "does not match dense"
        reason = f"under every pruner fine-tune {does} {told}: these sparsities do not tell the pruners apart"
        verdict = replace(verdict, outcome="undecided", reason=reason)
    yield verdict


def _highest(sparsities: Sequence[float]) -> float:
    # max() answers by the order of its arguments where one of them is not a number.
    return max(sparsities) if all(map(math.isfinite, sparsities)) else math.nan


def _finetuned(case: Case, pruner: str, rate: float) -> set[float]:
    group = case.group
    return {s for s in group.sparsities(pruner, rate) if group.accuracy(pruner, rate, s, "finetune")}


def _reached(case: Case, pruner: str, rate: float, sparsities: Sequence[float]) -> Values:
    """Return by seed the highest sparsity up to which fine-tuning stays within the margin of dense throughout.

    0 where it does at none, NaN where an accuracy is not finite; without seeds that lack a run.
    """
    found: Values = {}
    for seed, dense in case.group.dense(rate).items():
        runs = [case.group.accuracy(pruner, rate, sparsity, "finetune") for sparsity in sparsities]
        if not runs or any(seed not in run for run in runs):
            continue
        gaps = [run[seed] - dense for run in runs]
        matching = takewhile(lambda pair: pair[1] >= -case.similar, zip(sparsities, gaps, strict=True))
        found[seed] = max((sparsity for sparsity, _ in matching), default=0.0)
        if not all(map(math.isfinite, gaps)):
            found[seed] = math.nan
    return found
