"""The claims about overlap (B, D and F of the paper), each for one case."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from statistics import fmean

from engine.claims.across import SHARED_RUN, across
from engine.claims.cases import (
    Case,
    between,
    by_pruner,
    missing_rate,
    nearest,
    over_chance,
    over_mask,
    rate_name,
    sparsity_name,
)
from engine.claims.evidence import Gap, difference
from engine.claims.questions import Question
from engine.claims.verdict import Verdict, combine
from engine.registry import start_title

# The paper shows dense networks at p up to this one.
LARGEST_P = 0.5
ALL_HOLD = "Holds where all of these hold, fails where one fails; otherwise undecided."


def retention(claim: str, case: Case) -> Iterator[Verdict]:
    """B1: initial and trained dense weights overlap well above p at the low rate, about p at the high one."""
    ask = partial(across, claim, case, field="p", families=3, correlation=1.0)
    over_p = {
        rate: {
            f"p = {p:g}": over_chance(case, "initial_pretrained", pruner, rate, sparsity, p)
            for pruner, sparsity, p in case.group.overlap_places("initial_pretrained", rate)
            if p <= LARGEST_P
        }
        for rate in case.rates
    }
    parts = []
    what = "overlap of initial and trained weights minus p"
    if case.low is not None:
        question = Question(what, "exceeds", case.thresholds.overlap_above, "overlap")
        place = {**case.scope, "learning_rate": rate_name(case.low)}
        parts.append(ask(place, question, over_p[case.low], _unmeasured(case.low)))
    if case.high is not None:
        question = Question(what, "within", case.thresholds.overlap_about, "overlap")
        place = {**case.scope, "learning_rate": rate_name(case.high)}
        parts.append(ask(place, question, over_p[case.high], _unmeasured(case.high)))
    if case.low is None or case.high is None:
        yield missing_rate(case, claim, case.scope, "overlap", parts)
        return
    question = Question(
        "overlap at the low rate minus at the high rate", "exceeds", case.thresholds.overlap_about, "overlap"
    )
    place = {**case.scope, "learning_rate": "low rate minus high rate"}
    compared = between(over_p[case.low], over_p[case.high])
    parts.append(ask(place, question, compared, "no p is measured at both rates"))
    rule = (
        "Well above p at the low rate, about p at the high rate, and a difference between the rates, over p up to 0.5."
    )
    yield combine(claim, case.scope, parts, f"{rule} {ALL_HOLD}")


def start_overlap(claim: str, case: Case) -> Iterator[Verdict]:
    """D1: the ticket overlaps the fine-tuned weights above the reinit at the low rate; both about p at the high one."""
    ask = partial(across, claim, case, families=4, correlation=SHARED_RUN)
    pairs = {"ticket_finetuned": "winning_ticket", "reinit_finetuned": "reinit"}
    above, about = case.thresholds.overlap_above, case.thresholds.overlap_about
    what = "the ticket's overlap with fine-tuned weights minus the reinit's"
    for pruner, scope in by_pruner(case):
        p, sparsities = nearest(case, list(pairs), pruner, case.rates)
        gaps = {
            rate: _measured(
                {
                    sparsity_name(s): difference(*(case.group.ratio(pair, pruner, rate, s, p) for pair in pairs))
                    for s in sparsities
                }
            )
            for rate in case.rates
        }
        parts = []
        if case.low is not None:
            place = {**scope, "learning_rate": rate_name(case.low)}
            question = Question(what, "exceeds", above, "overlap")
            parts.append(ask(place, question, gaps[case.low], _unmeasured(case.low)))
        if case.high is not None:
            for pair, start in pairs.items():
                question = Question(
                    f"the {start_title(start)}'s overlap with fine-tuned weights minus p", "within", about, "overlap"
                )
                compared = _measured(
                    {sparsity_name(s): over_chance(case, pair, pruner, case.high, s, p) for s in sparsities}
                )
                place = {**scope, "learning_rate": rate_name(case.high), "start": start_title(start)}
                parts.append(ask(place, question, compared, _unmeasured(case.high)))
        if case.low is None or case.high is None:
            yield missing_rate(case, claim, scope, "overlap", parts)
            continue
        question = Question(f"{what}, at the low rate minus at the high rate,", "exceeds", about, "overlap")
        place = {**scope, "learning_rate": "low rate minus high rate"}
        compared = between(gaps[case.low], gaps[case.high])
        parts.append(ask(place, question, compared, "no sparsity is measured at both rates"))
        rule = (
            f"At p = {p:g}: the ticket above the reinit at the low rate, both about p at the high one, and a "
            "difference between the rates."
        )
        yield combine(claim, scope, parts, f"{rule} {ALL_HOLD}")


def ancestors(claim: str, case: Case) -> Iterator[Verdict]:
    """F1: fine-tuned weights overlap the trained dense ones beyond the level of their mask alone, the initial ones not.

    It is judged at sparsities that keep more than the share p of the weights: at others, the mask alone decides which
    weights are among the largest p.
    """
    about = case.thresholds.overlap_about
    questions = {
        "finetuned_pretrained": Question(
            "overlap of fine-tuned and trained dense weights minus the level of the mask alone", "exceeds", about,
            "overlap",
        ),
        "finetuned_initial": Question(
            "overlap of fine-tuned and initial weights minus the level of the mask alone", "below", about, "overlap"
        ),
    }  # fmt: skip
    against = {"finetuned_pretrained": "trained dense weights", "finetuned_initial": "initial weights"}
    for pruner, scope in by_pruner(case):
        if case.high is None:
            yield missing_rate(case, claim, scope, "overlap")
            continue
        p, sparsities = nearest(case, list(questions), pruner, [case.high])
        fitting = [sparsity for sparsity in sparsities if p < 1 - sparsity - 1e-9]
        parts = []
        for pair, question in questions.items():
            gaps = {sparsity_name(s): over_mask(case, pair, pruner, case.high, s, p) for s in fitting}
            compared = {name: gap for name, gap in gaps.items() if gap.values or gap.odd}
            reason = f"no overlap at a sparsity below {100 * (1 - p):g} % has been measured at {rate_name(case.high)}"
            if fitting and not compared:
                reason = (
                    "the level of the mask alone is not recorded for these results; "
                    "ticketscope remeasure counts it where their weights are still there"
                )
            place = {**scope, "learning_rate": rate_name(case.high), "against": against[pair]}
            part = across(claim, case, place, question, compared, reason, families=2, correlation=SHARED_RUN)
            parts.append(replace(part, reason=f"{part.reason}{_levels(case, pair, pruner, fitting, p)}"))
        rule = (
            f"At p = {p:g}, against the level of the mask alone, which lies between p and p / (1 - sparsity): above it "
            "with the trained dense weights, not above it with the initial ones."
        )
        yield combine(claim, scope, parts, f"{rule} {ALL_HOLD}")


def _levels(case: Case, pair: str, pruner: str, sparsities: list[float], p: float) -> str:
    """Return the overlap ratio, the level of the mask alone and p in words, as means over sparsities and seeds."""
    assert case.high is not None
    places = [(pair, pruner, case.high, sparsity, p) for sparsity in sparsities]
    ratios = [ratio for place in places for ratio in case.group.ratio(*place).values() if math.isfinite(ratio)]
    levels = [level for place in places for level in case.group.level(*place).values()]
    if not ratios or not levels:
        return ""
    return f"; R_p {fmean(ratios):.3f}, mask alone {fmean(levels):.3f}, p {p:g}"


def _measured(compared: Mapping[str, Gap]) -> dict[str, Gap]:
    """Return the gaps that have a run of at least one seed."""
    return {name: gap for name, gap in compared.items() if gap.values or gap.odd or gap.lacking}


def _unmeasured(rate: float) -> str:
    return f"no overlap of these weights has been measured at {rate_name(rate)}"
