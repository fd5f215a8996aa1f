"""The claims about overlap (B, D and F of the paper), each for one case."""

from collections.abc import Iterator

from engine.cases import NAMES, Case, across, by_pruner, missing_rate, nearest, over_chance, rate_name, sparsity_name
from engine.evidence import difference
from engine.judging import Question, Rule, Verdict, all_of

# The largest p at which the paper shows dense networks.
LARGEST_P = 0.5


def retention(claim: str, case: Case) -> Iterator[Verdict]:
    """B1: initial and trained dense weights overlap well above p at the low rate, about p at the high one."""
    parts = []
    asked: tuple[tuple[str, float | None, Rule, float], ...] = (
        ("low", case.low, "exceeds", case.thresholds.overlap_above),
        ("high", case.high, "within", case.thresholds.overlap_about),
    )
    for which, rate, rule, margin in asked:
        question = Question("overlap of initial and trained weights minus p", rule, margin, "overlap")
        if rate is None:
            parts.append(missing_rate(claim, case.scope, "overlap", which))
            continue
        compared = {}
        for pruner, sparsity, p in case.group.overlap_places("initial_pretrained", rate):
            if p <= LARGEST_P:
                compared[f"p = {p:g}"] = over_chance(case, "initial_pretrained", pruner, rate, sparsity, p)
        parts.append(across(claim, case, {**case.scope, "learning_rate": rate_name(rate)}, question, compared, "p"))
    yield all_of(
        claim, case.scope, parts, "Well above p at the low rate and about p at the high rate, over p up to 0.5."
    )


def start_overlap(claim: str, case: Case) -> Iterator[Verdict]:
    """D1: the ticket overlaps the fine-tuned weights above the reinit at the low rate; both about p at the high one."""
    above, about = case.thresholds.overlap_above, case.thresholds.overlap_about
    gap = Question("the ticket's overlap with fine-tuned weights minus the reinit's", "exceeds", above, "overlap")
    for pruner, scope in by_pruner(case):
        parts = []
        if case.low is None:
            parts.append(missing_rate(claim, scope, "overlap", "low"))
        else:
            compared = {}
            for sparsity, p in nearest(case.group.overlap_places("ticket_finetuned", case.low), pruner):
                compared[sparsity_name(sparsity)] = difference(
                    *(case.group.ratio(pair, pruner, case.low, sparsity, p)
                      for pair in ("ticket_finetuned", "reinit_finetuned"))
                )  # fmt: skip
            parts.append(across(claim, case, {**scope, "learning_rate": rate_name(case.low)}, gap, compared))
        if case.high is None:
            parts.append(missing_rate(claim, scope, "overlap", "high"))
        else:
            for pair, start in (("ticket_finetuned", "winning_ticket"), ("reinit_finetuned", "reinit")):
                what = f"the {NAMES[start]}'s overlap with fine-tuned weights minus p"
                question = Question(what, "within", about, "overlap")
                compared = {
                    sparsity_name(sparsity): over_chance(case, pair, pruner, case.high, sparsity, p)
                    for sparsity, p in nearest(case.group.overlap_places(pair, case.high), pruner)
                }
                place = {**scope, "learning_rate": rate_name(case.high), "start": NAMES[start]}
                parts.append(across(claim, case, place, question, compared))
        yield all_of(
            claim, scope, parts, "The ticket above the reinit at the low rate, and both about p at the high one."
        )


def ancestors(claim: str, case: Case) -> Iterator[Verdict]:
    """F1: fine-tuned weights overlap the trained dense ones far above p, the initial ones about p."""
    rule = "Far above p with the trained dense weights, and about p with the initial ones."
    for pruner, scope in by_pruner(case):
        if case.high is None:
            yield missing_rate(claim, scope, "overlap", "high")
            continue
        parts = []
        asked: tuple[tuple[str, str, Rule, float], ...] = (
            ("finetuned_pretrained", "trained dense weights", "exceeds", case.thresholds.overlap_above),
            ("finetuned_initial", "initial weights", "within", case.thresholds.overlap_about),
        )
        for pair, what, kind, margin in asked:
            question = Question(f"overlap of fine-tuned and {what} minus p", kind, margin, "overlap")
            compared = {
                sparsity_name(sparsity): over_chance(case, pair, pruner, case.high, sparsity, p)
                for sparsity, p in nearest(case.group.overlap_places(pair, case.high), pruner)
            }
            place = {**scope, "learning_rate": rate_name(case.high), "against": what}
            parts.append(across(claim, case, place, question, compared))
        yield all_of(claim, scope, parts, rule)
