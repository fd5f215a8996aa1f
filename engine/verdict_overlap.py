"""The claims about overlap (B, D and F of the paper), each for one case."""

from collections.abc import Iterator, Mapping, Sequence

from engine.cases import (
    NAMES,
    Case,
    Scope,
    across,
    by_pruner,
    missing_rate,
    nearest,
    over_chance,
    rate_name,
    sparsity_name,
)
from engine.evidence import Gap, difference
from engine.judging import Question, Rule, Verdict, all_of

# The largest p at which the paper shows dense networks.
LARGEST_P = 0.5


def retention(claim: str, case: Case) -> Iterator[Verdict]:
    """B1: initial and trained dense weights overlap well above p at the low rate, about p at the high one."""
    parts = []
    asked: tuple[tuple[float | None, Rule, float], ...] = (
        (case.low, "exceeds", case.thresholds.overlap_above),
        (case.high, "within", case.thresholds.overlap_about),
    )
    for rate, rule, margin in asked:
        if rate is None:
            continue
        question = Question("overlap of initial and trained weights minus p", rule, margin, "overlap")
        compared = {}
        for pruner, sparsity, p in case.group.overlap_places("initial_pretrained", rate):
            if p <= LARGEST_P:
                compared[f"p = {p:g}"] = over_chance(case, "initial_pretrained", pruner, rate, sparsity, p)
        place = {**case.scope, "learning_rate": rate_name(rate)}
        parts.append(across(claim, case, place, question, compared, _unmeasured(rate), "p"))
    rule_told = "Well above p at the low rate and about p at the high rate, over p up to 0.5."
    yield _both_rates(claim, case, case.scope, parts, rule_told)


def start_overlap(claim: str, case: Case) -> Iterator[Verdict]:
    """D1: the ticket overlaps the fine-tuned weights above the reinit at the low rate; both about p at the high one."""
    pairs = {"ticket_finetuned": "winning_ticket", "reinit_finetuned": "reinit"}
    gap = Question("the ticket's overlap with fine-tuned weights minus the reinit's", "exceeds",
                   case.thresholds.overlap_above, "overlap")  # fmt: skip
    for pruner, scope in by_pruner(case):
        rates = [rate for rate in (case.low, case.high) if rate is not None]
        p, sparsities = nearest(case, list(pairs), pruner, rates)
        parts = []
        if case.low is not None:
            compared = {
                sparsity_name(sparsity): difference(
                    *(case.group.ratio(pair, pruner, case.low, sparsity, p) for pair in pairs)
                )
                for sparsity in sparsities
            }
            place = {**scope, "learning_rate": rate_name(case.low)}
            parts.append(across(claim, case, place, gap, _some(compared), _unmeasured(case.low)))
        if case.high is not None:
            for pair, start in pairs.items():
                what = f"the {NAMES[start]}'s overlap with fine-tuned weights minus p"
                question = Question(what, "within", case.thresholds.overlap_about, "overlap")
                compared = {
                    sparsity_name(sparsity): over_chance(case, pair, pruner, case.high, sparsity, p)
                    for sparsity in sparsities
                }
                place = {**scope, "learning_rate": rate_name(case.high), "start": NAMES[start]}
                parts.append(across(claim, case, place, question, _some(compared), _unmeasured(case.high)))
        rule = f"At p = {p:g}: the ticket above the reinit at the low rate, and both about p at the high one."
        yield _both_rates(claim, case, scope, parts, rule)


def ancestors(claim: str, case: Case) -> Iterator[Verdict]:
    """F1: fine-tuned weights overlap the trained dense ones far above p, the initial ones about p.

    At sparsities that keep more than the share p of the weights: only there have all weights a place in the ranking
    that the mask alone does not decide.
    """
    asked: tuple[tuple[str, str, Rule, float], ...] = (
        ("finetuned_pretrained", "trained dense weights", "exceeds", case.thresholds.overlap_above),
        ("finetuned_initial", "initial weights", "within", case.thresholds.overlap_about),
    )
    for pruner, scope in by_pruner(case):
        if case.high is None:
            yield missing_rate(case, claim, scope, "overlap")
            continue
        p, sparsities = nearest(case, [pair for pair, *_ in asked], pruner, [case.high])
        parts = []
        for pair, what, kind, margin in asked:
            question = Question(f"overlap of fine-tuned and {what} minus p", kind, margin, "overlap")
            compared = {
                sparsity_name(sparsity): over_chance(case, pair, pruner, case.high, sparsity, p)
                for sparsity in sparsities
                if p < 1 - sparsity - 1e-9
            }
            place = {**scope, "learning_rate": rate_name(case.high), "against": what}
            gone = f"no overlap at a sparsity below {100 * (1 - p):g} % has been measured at {rate_name(case.high)}"
            parts.append(across(claim, case, place, question, _some(compared), gone))
        rule = f"At p = {p:g}: far above p with the trained dense weights, and about p with the initial ones."
        yield all_of(claim, scope, parts, rule)


def _both_rates(claim: str, case: Case, scope: Scope, parts: Sequence[Verdict], rule: str) -> Verdict:
    if case.low is None or case.high is None:
        return missing_rate(case, claim, scope, "overlap", parts)
    return all_of(claim, scope, parts, rule)


def _some(compared: Mapping[str, Gap]) -> dict[str, Gap]:
    """Return what has been measured for a seed at least."""
    return {name: gap for name, gap in compared.items() if gap.values or gap.odd or gap.lacking}


def _unmeasured(rate: float) -> str:
    return f"no overlap of these weights has been measured at {rate_name(rate)}"
