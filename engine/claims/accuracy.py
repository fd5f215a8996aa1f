"""The claims about accuracy (A, C, E and G of the paper), each for one case."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from engine.claims.across import SHARED_RUN, across, estimated
from engine.claims.cases import (
    Case,
    ClaimScope,
    absent,
    between,
    by_pruner,
    contrast,
    missing_rate,
    rate_name,
    starts,
)
from engine.claims.evidence import difference
from engine.claims.questions import Question, Strictness
from engine.claims.verdict import Verdict, combine, judge, missing
from engine.registry import PRUNERS, start_title

TICKET_REINIT = ("winning_ticket", "reinit")
GAP = "winning ticket minus random reinit"


def beats_at_low(claim: str, case: Case) -> Iterator[Verdict]:
    """A1: winning ticket minus random reinit is a clear gap at the low rate."""
    yield from _gap(claim, case, case.low, Question(GAP, "exceeds", case.margin))


def similar_at_high(claim: str, case: Case) -> Iterator[Verdict]:
    """A2: winning ticket and random reinit are similar at the high rate."""
    yield from _gap(claim, case, case.high, Question(GAP, "within", case.margin))


def _gap(claim: str, case: Case, rate: float | None, question: Question) -> Iterator[Verdict]:
    for pruner, scope in by_pruner(case):
        if rate is None:
            yield missing_rate(case, claim, scope, "points")
        else:
            place = {**scope, "learning_rate": rate_name(rate)}
            compared = starts(case, pruner, rate, *TICKET_REINIT)
            yield across(claim, case, place, question, compared, absent(case, pruner, rate, *TICKET_REINIT))


def larger_at_low(claim: str, case: Case) -> Iterator[Verdict]:
    """A1 with A2: the gap of winning ticket and random reinit is larger at the low rate than at the high one."""
    question = Question(f"{GAP} at the low rate, minus the same at the high rate,", "exceeds", case.margin)
    for pruner, scope in by_pruner(case):
        if case.low is None or case.high is None:
            yield missing_rate(case, claim, scope, "points")
            continue
        low, high = (starts(case, pruner, rate, *TICKET_REINIT) for rate in (case.low, case.high))
        reasons = [absent(case, pruner, rate, *TICKET_REINIT)
                   for rate, gaps in ((case.low, low), (case.high, high)) if not gaps]  # fmt: skip
        reason = "; ".join(reasons) or "the two rates have no sparsity in common"
        yield across(claim, case, scope, question, between(low, high), reason)


def dense(claim: str, case: Case) -> Iterator[Verdict]:
    """A3: dense accuracy at the high rate is clearly above that at the low one."""
    question = Question("dense accuracy at the high rate minus at the low rate", "exceeds", case.margin)
    if case.low is None or case.high is None:
        yield missing_rate(case, claim, case.scope, "points")
        return
    gap = difference(case.group.dense(case.high), case.group.dense(case.low))
    yield judge(claim, case.scope, question, gap, case.thresholds)


def property_at(case: Case, pruner: str, rate: float) -> Iterator[Verdict]:
    """Yield the verdict on the winning property at each sparsity: the ticket matches dense, and beats reinit."""
    gaps = _Gaps(case, pruner, rate)
    ask = partial(judge, "A4", thresholds=case.thresholds, strictness=Strictness(fails=2))
    for name in gaps.sparsities:
        scope = {**case.scope, "pruner": pruner, "learning_rate": rate_name(rate), "sparsity": name}
        parts = [
            ask({**scope, "against": "against dense"}, _match(case), gaps.dense[name],
                estimate=gaps.dense_means.get(name)),
            ask({**scope, "against": "against reinit"}, _beat(case), gaps.reinit[name],
                estimate=gaps.reinit_means.get(name)),
        ]  # fmt: skip
        yield combine("A4", scope, parts, "The ticket matches dense and beats random reinit at this sparsity.")


def winning(claim: str, case: Case) -> Iterator[Verdict]:
    """A4: the winning property at the low rate only."""
    rule = (
        "Holds where at one sparsity or more the ticket at the low rate matches dense and beats random reinit, by "
        "more than at the high rate, and where at no sparsity of the high rate it does both. At the low rate one "
        "sparsity is enough, so its intervals are widened for the number of sparsities (Bonferroni). Fails where it "
        "does both at no sparsity of the low rate, or at one of the high rate. Otherwise undecided."
    )
    for pruner, scope in by_pruner(case):
        if case.low is None or case.high is None:
            parts = [part for rate in case.rates for part in property_at(case, pruner, rate)]
            yield missing_rate(case, claim, scope, "points", parts)
            continue
        low, high = (_Gaps(case, pruner, rate) for rate in (case.low, case.high))
        shared = [name for name in low.sparsities if name in high.sparsities]
        if not shared:
            reasons = [absent(case, pruner, gaps.rate, "winning_ticket", "reinit", "dense")
                       for gaps in (low, high) if not gaps.sparsities]  # fmt: skip
            reason = "; ".join(reasons) or "the two rates have no sparsity in common"
            yield missing(claim, scope, "points", rule, reason)
            continue
        parts = [_present(claim, scope, low, high, shared), _absent_everywhere(claim, scope, high)]
        states = [{"holds": yes, "fails": no}.get(part.outcome, "open") for part, (yes, no) in
                  zip(parts, (("there", "absent"), ("absent", "there")), strict=True)]  # fmt: skip
        whole = combine(claim, scope, parts, rule)
        where = f"the winning property is {states[0]} at {rate_name(case.low)}, {states[1]} at {rate_name(case.high)}"
        yield replace(whole, reason=f"{where}; {whole.reason}")


class _Gaps:
    """The differences behind the winning property at one rate, by sparsity: ticket minus dense, and minus reinit."""

    def __init__(self, case: Case, pruner: str, rate: float) -> None:
        self.case = case
        self.rate = rate
        self.dense = starts(case, pruner, rate, "winning_ticket", "dense")
        self.reinit = starts(case, pruner, rate, *TICKET_REINIT)
        self.sparsities = [name for name in self.dense if name in self.reinit]
        self.dense_means, self.reinit_means = estimated(self.dense, SHARED_RUN), estimated(self.reinit)


def _present(claim: str, scope: ClaimScope, low: _Gaps, high: _Gaps, shared: Sequence[str]) -> Verdict:
    """Return whether the property is there at one sparsity of the low rate, and more so than at the high rate."""
    case = low.case
    more = Question("ticket minus reinit at the low rate, minus the same at the high rate,", "exceeds", 0.0)
    contrasts = {name: contrast(low.reinit[name], high.reinit[name]) for name in shared}
    means = estimated(contrasts)
    # One sparsity is enough for the claim to hold; one of its three comparisons is enough to fail.
    ask = partial(judge, claim, thresholds=case.thresholds, strictness=Strictness(len(shared), 3))
    rate = {**scope, "learning_rate": rate_name(low.rate)}
    verdicts = []
    for name in shared:
        place = {**rate, "sparsity": name}
        parts = [
            ask({**place, "against": "against dense"}, _match(case), low.dense[name],
                estimate=low.dense_means.get(name)),
            ask({**place, "against": "against reinit"}, _beat(case), low.reinit[name],
                estimate=low.reinit_means.get(name)),
            ask({**place, "against": "against the high rate"}, more, contrasts[name], estimate=means.get(name)),
        ]  # fmt: skip
        verdicts.append(
            combine(claim, place, parts, "The ticket matches dense, and beats reinit by more than at the high rate.")
        )
    rule = "The winning property is there at one sparsity of the low rate or more."
    return combine(claim, rate, verdicts, rule, "any")


def _absent_everywhere(claim: str, scope: ClaimScope, high: _Gaps) -> Verdict:
    """Return whether the property is absent at every sparsity of the high rate: no clear gap, or below dense."""
    case = high.case
    no_gap = Question(GAP, "below", case.margin)
    falls_short = Question("winning ticket minus dense", "below", -case.margin)
    # At a sparsity, one of the two comparisons shows it absent; one sparsity where it is there makes the verdict fail.
    ask = partial(judge, claim, thresholds=case.thresholds, strictness=Strictness(2, len(high.sparsities)))
    rate = {**scope, "learning_rate": rate_name(high.rate)}
    verdicts = []
    for name in high.sparsities:
        place = {**rate, "sparsity": name}
        parts = [
            ask({**place, "against": "against reinit"}, no_gap, high.reinit[name],
                estimate=high.reinit_means.get(name)),
            ask({**place, "against": "against dense"}, falls_short, high.dense[name],
                estimate=high.dense_means.get(name)),
        ]  # fmt: skip
        verdicts.append(
            combine(claim, place, parts, "The ticket does not beat reinit clearly, or falls short of dense.", "any")
        )
    return combine(claim, rate, verdicts, "The winning property is absent at every sparsity of the high rate.")


def _match(case: Case) -> Question:
    return Question("winning ticket minus dense", "matches", case.margin)


def _beat(case: Case) -> Question:
    return Question(GAP, "exceeds", case.margin)


def close(claim: str, case: Case) -> Iterator[Verdict]:
    """C1: fine-tune matches dense at the same rate."""
    question = Question("fine-tune minus dense", "matches", case.margin)
    for pruner, scope in by_pruner(case):
        for rate in case.group.rates():
            compared = starts(case, pruner, rate, "finetune", "dense")
            if compared or rate in (case.low, case.high):
                place = {**scope, "learning_rate": rate_name(rate)}
                reason = absent(case, pruner, rate, "finetune", "dense")
                yield across(claim, case, place, question, compared, reason, correlation=SHARED_RUN)


def finetune_wins(claim: str, case: Case) -> Iterator[Verdict]:
    """E1: fine-tune beats ticket and reinit at the high rate."""
    yield from _order(claim, case, [("finetune", "winning_ticket"), ("finetune", "reinit")])


def rewinding(claim: str, case: Case) -> Iterator[Verdict]:
    """G1: fine-tune above rewind, and rewind above winning ticket, at the high rate."""
    for verdict in _order(claim, case, [("finetune", "rewind"), ("rewind", "winning_ticket")]):
        pruner = PRUNERS.get(verdict.scope["pruner"])
        masks = "one pruning of the pretrained weights"
        if pruner is not None and pruner.gradual:
            masks = f"the chain of rounds that trains and resets to {start_title(pruner.resets_to)}"
        yield replace(verdict, rule=f"{verdict.rule} All starts have the masks of {masks}.")


def _order(claim: str, case: Case, pairs: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
    order = ", and ".join(f"{start_title(higher)} above {start_title(lower)}" for higher, lower in pairs)
    rule = f"At the high rate {order}. Holds where both hold, fails where one fails; otherwise undecided."
    for pruner, scope in by_pruner(case):
        if case.high is None:
            yield missing_rate(case, claim, scope, "points")
            continue
        verdicts = []
        for pair in pairs:
            first, second = map(start_title, pair)
            question = Question(f"{first} minus {second}", "exceeds", case.margin)
            place = {**scope, "learning_rate": rate_name(case.high), "against": f"{first} over {second}"}
            compared, reason = starts(case, pruner, case.high, *pair), absent(case, pruner, case.high, *pair)
            verdicts.append(across(claim, case, place, question, compared, reason, families=len(pairs)))
        yield combine(claim, scope, verdicts, rule)
