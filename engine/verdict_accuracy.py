"""The claims about accuracy (A, C, E and G of the paper), each for one case."""

from collections.abc import Iterator, Sequence

from engine.cases import NAMES, Case, Scope, across, by_pruner, missing_rate, rate_name, sparsity_name, starts
from engine.evidence import Values, difference
from engine.judging import Outcome, Question, Thresholds, Verdict, all_of, judge, undecided


def beats_at_low(claim: str, case: Case) -> Iterator[Verdict]:
    """A1: winning ticket minus random reinit at the low rate exceeds a clear gap."""
    question = Question("winning ticket minus random reinit", "exceeds", case.thresholds.clear)
    yield from _gap(claim, case, case.low, "low", question)


def similar_at_high(claim: str, case: Case) -> Iterator[Verdict]:
    """A2: winning ticket minus random reinit at the high rate is within what is similar."""
    yield from _gap(
        claim, case, case.high, "high", Question("winning ticket minus random reinit", "within", case.similar)
    )


def _gap(claim: str, case: Case, rate: float | None, which: str, question: Question) -> Iterator[Verdict]:
    for pruner, scope in by_pruner(case):
        if rate is None:
            yield missing_rate(claim, scope, "points", which)
        else:
            compared = starts(case, pruner, rate, "winning_ticket", "reinit")
            yield across(claim, case, {**scope, "learning_rate": rate_name(rate)}, question, compared)


def dense(claim: str, case: Case) -> Iterator[Verdict]:
    """A3: dense accuracy at the high rate above that at the low one."""
    question = Question("dense accuracy at the high rate minus at the low rate", "exceeds", case.thresholds.clear)
    if case.low is None or case.high is None:
        yield missing_rate(claim, case.scope, "points", "low" if case.low is None else "high")
        return
    values, missing = difference(case.group.dense(case.high), case.group.dense(case.low))
    yield judge(claim, case.scope, question, values, case.thresholds, missing)


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
            values, missing = difference(ticket, other)
            parts.append(judge("A4", {**scope, "against": against}, question, values, thresholds, missing))
        yield all_of("A4", scope, parts, "The ticket matches dense and beats random reinit at this sparsity.")


def winning(claim: str, case: Case) -> Iterator[Verdict]:
    """A4: the winning property at the low rate only."""
    rule = (
        "The winning property is there at a rate where the ticket matches dense and beats reinit at one sparsity or "
        "more, with intervals widened for the number of sparsities looked at (Bonferroni); it is absent where it fails "
        "at every sparsity. The claim holds where it is there at the low rate and absent at the high one, and fails "
        "where it is absent at the low rate or there at the high one."
    )
    for pruner, scope in by_pruner(case):
        if case.low is None or case.high is None:
            yield missing_rate(claim, scope, "points", "low" if case.low is None else "high")
            continue
        found = {rate: _somewhere(case, pruner, rate) for rate in (case.low, case.high)}
        parts = tuple(verdict for _, verdicts in found.values() for verdict in verdicts)
        if not parts:
            yield undecided(claim, scope, "points", rule, "no winning ticket has finished beside its reinit yet")
            continue
        (low, _), (high, _) = found[case.low], found[case.high]
        outcome: Outcome = "holds" if (low, high) == ("there", "absent") else "undecided"
        if low == "absent" or high == "there":
            outcome = "fails"
        best = max(
            (part for part in found[case.low][1] or parts if part.effect is not None),
            key=lambda part: part.effect or 0.0,
            default=parts[0],
        )
        yield Verdict(
            claim, scope, outcome, best.effect, best.low, best.high, "points", best.n, rule,
            f"{low} at {rate_name(case.low)}, {high} at {rate_name(case.high)}", parts,
        )  # fmt: skip


def _somewhere(case: Case, pruner: str, rate: float) -> tuple[str, list[Verdict]]:
    """Return whether the winning property is there, absent or undecided at a rate, and its verdict at each sparsity."""
    each = list(property_at(case, pruner, rate, case.thresholds))
    if not each:
        return "undecided", []
    strict = case.thresholds.model_copy(update={"confidence": 1 - (1 - case.thresholds.confidence) / len(each)})
    if any(part.outcome == "holds" for part in property_at(case, pruner, rate, strict)):
        return "there", each
    return ("absent" if all(part.outcome == "fails" for part in each) else "undecided"), each


def close(claim: str, case: Case) -> Iterator[Verdict]:
    """C1: fine-tune matches dense at the same rate."""
    question = Question("fine-tune minus dense", "matches", case.similar)
    for pruner, scope in by_pruner(case):
        for rate in case.group.rates():
            compared = starts(case, pruner, rate, "finetune", "dense")
            if compared or rate in (case.low, case.high):
                yield across(claim, case, {**scope, "learning_rate": rate_name(rate)}, question, compared)


def _ordered(claim: str, case: Case, pruner: str, scope: Scope, pairs: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
    assert case.high is not None
    for one, other in pairs:
        question = Question(f"{NAMES[one]} minus {NAMES[other]}", "exceeds", case.thresholds.clear)
        place = {**scope, "learning_rate": rate_name(case.high), "against": f"{NAMES[one]} over {NAMES[other]}"}
        yield across(claim, case, place, question, starts(case, pruner, case.high, one, other))


def finetune_wins(claim: str, case: Case) -> Iterator[Verdict]:
    """E1: fine-tune above ticket and reinit under every pruner."""
    rule = "Fine-tune above winning ticket and above random reinit, under every pruner of the study."
    if case.high is None:
        yield missing_rate(claim, case.scope, "points", "high")
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
            yield missing_rate(claim, scope, "points", "high")
        else:
            parts = list(_ordered(claim, case, pruner, scope, pairs))
            yield all_of(claim, scope, parts, "Fine-tune above rewind, and rewind above the winning ticket.")


def pruner_order(claim: str, case: Case) -> Iterator[Verdict]:
    """E2: ADMM not below iterative, and iterative not below one-shot."""
    rule = "ADMM not below iterative, and iterative not below one-shot, for fine-tune and for winning tickets."
    if case.high is None:
        yield missing_rate(claim, case.scope, "points", "high")
        return
    parts = []
    for start in ("finetune", "winning_ticket"):
        for one, other in (("admm", "iterative"), ("iterative", "oneshot")):
            question = Question(f"{NAMES[start]} under {one} minus under {other}", "matches", case.similar)
            compared = {}
            for sparsity in case.group.sparsities(one, case.high):
                mine, theirs = (case.group.accuracy(name, case.high, sparsity, start) for name in (one, other))
                if mine and theirs:
                    compared[sparsity_name(sparsity)] = difference(mine, theirs)
            place = {**case.scope, "learning_rate": rate_name(case.high), "against": f"{start}, {one} over {other}"}
            parts.append(across(claim, case, place, question, compared))
    yield all_of(claim, case.scope, parts, rule)


def furthest(claim: str, case: Case) -> Iterator[Verdict]:
    """E3: under ADMM, fine-tune matches dense up to the highest sparsity."""
    group, rate = case.group, case.high
    if rate is None:
        yield missing_rate(claim, case.scope, "sparsity", "high")
        return
    pruners = [name for name in ("admm", "iterative", "oneshot") if starts(case, name, rate, "finetune", "dense")]
    scope = {**case.scope, "learning_rate": rate_name(rate)}
    if "admm" not in pruners or len(pruners) < 2:
        reason = f"fine-tune has finished under {', '.join(pruners) or 'no pruner'} only"
        yield undecided(claim, scope, "sparsity", "It takes ADMM and another pruner.", reason)
        return
    common = sorted(set.intersection(*(set(group.sparsities(name, rate)) for name in pruners)))
    steps = [b - a for a, b in zip([0.0, *common], common, strict=False)]
    question = Question(
        f"highest sparsity at which fine-tune under ADMM matches dense minus the best of {' and '.join(pruners[1:])}",
        "matches",
        round(min(steps), 4) if steps else 0.0,
        "sparsity",
    )
    reached = {name: _reached(case, name, rate, common) for name in pruners}
    others: Values = {}
    for name in pruners[1:]:
        for seed, sparsity in reached[name].items():
            others[seed] = max(others.get(seed, 0.0), sparsity)
    values, missing = difference(reached["admm"], others)
    yield judge(claim, scope, question, values, case.thresholds, missing)


def _reached(case: Case, pruner: str, rate: float, sparsities: Sequence[float]) -> Values:
    """Return by seed the highest sparsity up to which fine-tuning stays within the margin of dense throughout."""
    found: Values = {}
    for seed, dense in case.group.dense(rate).items():
        runs = [case.group.accuracy(pruner, rate, sparsity, "finetune").get(seed) for sparsity in sparsities]
        if None in runs:
            continue
        found[seed] = 0.0
        for sparsity, accuracy in zip(sparsities, runs, strict=True):
            if accuracy is None or not accuracy >= dense - case.similar:
                break
            found[seed] = sparsity
    return found
