"""Differences at several sparsities, or values of p, each of which must bear a claim out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from engine.claims.cases import Case, Scope
from engine.claims.evidence import Gap, average
from engine.claims.intervals import Estimate, estimate, estimates
from engine.claims.questions import (
    Question,
    Strictness,
    Thresholds,
    answer,
    capital,
    half_width,
    joint_strictness,
    level,
    percent,
)
from engine.claims.verdict import Verdict, joined, judge, missing, numbers

# Gaps by the name of what they are measured at: a sparsity, or a p.
Compared = Mapping[str, Gap]

# How differences correlate that share a run of each seed, such as the dense one: half of their variance is the same.
SHARED_RUN = 0.5


def across(
    claim: str,
    case: Case,
    scope: Scope,
    question: Question,
    compared: Compared,
    absent: str = "",
    field: str = "sparsity",
    families: int = 1,
    correlation: float = 0.0,
    adjust: Callable[[str, Verdict], Verdict] = lambda name, part: part,
) -> Verdict:
    """Return the verdict on differences at several sparsities, or values of p, each of which must bear the claim out.

    A clear gap is above 0 at each, and above the margin on average, without the largest, so that one sparsity alone
    never makes it. For the other rules each lies on the right side of the margin, and so does the mean.
    The chance that one of them makes the claim fail by luck is shared out among them all. absent: what to say where
    nothing is compared. families: the number of such lists that the claim is made of. correlation: of these
    differences, seed by seed. adjust: changes the verdict at one sparsity, by its name.
    """
    means = estimated(compared, correlation)
    holds = joint_strictness(question, list(means.values()), case.thresholds)
    rule = rule_across(question, case.thresholds, len(compared), field, holds)
    if not compared:
        return missing(claim, scope, question.unit, rule, absent or f"no runs for {question.what}")
    several = len(compared) > 1
    each = replace(question, margin=0.0) if several and question.rule == "exceeds" else question
    strictness = Strictness(holds, families * (len(compared) + several))
    parts = [
        adjust(name, judge(claim, {**scope, field: name}, each, gap, case.thresholds, strictness, means.get(name)))
        for name, gap in compared.items()
    ]
    if not several:
        return replace(parts[0], rule=rule)
    parts.append(_mean_part(claim, case, {**scope}, question, compared, means, field, strictness))
    gap, count = average(list(compared.values()), case.thresholds.min_seeds)
    outcome = joined(parts, "all")
    alike = [part for part in parts if part.outcome == outcome]
    decisive = min(alike, key=lambda part: part.slack)
    summary = replace(decisive, estimate=None, effect=None, low=None, high=None, n=0)
    kind = _kind(field)
    over = f"{count if count == len(compared) else f'{count} of {len(compared)}'} {kind}"
    if gap.values:
        whole = estimate(list(gap.values.values()))
        half = half_width(question, whole, case.thresholds) if whole.n > 1 else None
        summary = replace(
            summary, estimate=whole, effect=whole.mean, n=whole.n,
            low=None if half is None else whole.mean - half, high=None if half is None else whole.mean + half,
        )  # fmt: skip
    return replace(
        summary, claim=claim, scope=dict(scope), outcome=outcome, rule=rule, question=question, parts=tuple(parts),
        join="all", over=over, level=level(question, case.thresholds), strictness=strictness,
        reason=_reason(question, each, summary, parts, outcome, decisive, over, kind, field, gap.note),
        blocked=next((part.blocked for part in alike if part.blocked), ""),
    )  # fmt: skip


def estimated(compared: Compared, correlation: float = 0.0) -> dict[str, Estimate]:
    """Return the mean of each gap that has a seed, their spreads informing each other; see `estimates`."""
    samples = {name: list(gap.values.values()) for name, gap in compared.items() if gap.values}
    return dict(zip(samples, estimates(list(samples.values()), correlation), strict=True))


def _mean_part(
    claim: str,
    case: Case,
    scope: Scope,
    question: Question,
    compared: Compared,
    means: Mapping[str, Estimate],
    field: str,
    strictness: Strictness,
) -> Verdict:
    """Return the verdict on the mean; of a clear gap without its largest."""
    gaps, name = dict(compared), f"mean over {len(compared)} {_kind(field)}"
    if question.rule == "exceeds" and len(means) > 1:
        largest = max(means, key=lambda place: means[place].mean)
        del gaps[largest]
        name = f"mean without {largest}"
    gap, count = average(list(gaps.values()), case.thresholds.min_seeds)
    whole = None
    if count < len(gaps) or len(gap.values) < case.thresholds.min_seeds:
        # Seeds differ from place to place. As if all places erred alike, which is the widest that it can be.
        single = [means[place] for place in gaps if place in means]
        gap = replace(gap, values={seed: 0.0 for gap in gaps.values() for seed in gap.values})
        fewest = min(one.n for one in single) if len(single) == len(gaps) else 0
        whole = (
            Estimate(
                fmean(one.mean for one in single),
                fmean(one.error for one in single) * math.sqrt(fewest) if fewest else math.nan,
                min(one.freedom for one in single),
                fewest,
            )
            if single
            else None
        )
    strictness = Strictness(fails=strictness.fails)
    return judge(claim, {**scope, field: name}, question, gap, case.thresholds, strictness, whole)


def _kind(field: str) -> str:
    return "values of p" if field == "p" else "sparsities"


def _reason(
    question: Question,
    each: Question,
    summary: Verdict,
    parts: Sequence[Verdict],
    outcome: str,
    decisive: Verdict,
    over: str,
    kind: str,
    field: str,
    note: str,
) -> str:
    """Return why an answer came out so: the mean, how many comparisons bear it out, and the one that decides."""
    single = parts[:-1]
    effect = numbers(summary.unit, summary.effect, summary.low, summary.high, summary.n, summary.level)
    on_average = f"{question.what} is {effect}, mean over {over}" if summary.effect is not None else question.what
    shown = sum(part.outcome == "holds" for part in single)
    count = f"shown {each.sentence()} at {'all' if shown == len(single) else f'{shown} of'} {len(single)} {kind}"
    if outcome == "holds":
        return f"{on_average}; {count}" + (f"; {note}" if note else "")
    place = decisive.scope[field]
    one = decisive.reason.removeprefix(f"{question.what} is ")
    if place.startswith("mean"):
        where = f"contradicted by the {place}" if outcome == "fails" else f"open for the {place}"
    else:
        where = f"contradicted at {place}" if outcome == "fails" else f"open at {place}"
    return f"{on_average}; {count}; {where}: {one}"


def rule_across(
    question: Question, thresholds: Thresholds, count: int, field: str = "sparsity", holds: float = 1.0
) -> str:
    """Return the rule of differences at several sparsities, or values of p, as sentences; holds: as of `Strictness`."""
    shown = percent(level(question, thresholds, holds))
    if count < 2:
        return f"{answer(question, thresholds)} {_fine_print(question, thresholds)}"
    one = "value of p" if field == "p" else "sparsity"
    if question.rule == "exceeds":
        asked = (
            f"it is above 0 at every {one}, and its mean over them, the {one} of the largest left out, is "
            f"{question.sentence()}"
        )
    else:
        asked = f"it lies {question.sentence()} at every {one}, and so does its mean"
    usual = percent(level(question, thresholds))
    raised = f" ({usual} for one alone: that all lie within by chance is seldom enough)" * (holds != 1)
    return (
        f"{capital(question.what)}: holds where {asked}, each by its {shown} interval{raised}; fails where one of "
        f"these is excluded, by an interval widened for their number (Bonferroni). {_fine_print(question, thresholds)}"
    )


def _fine_print(question: Question, thresholds: Thresholds) -> str:
    least = f", at least ±{thresholds.standard_errors:g} standard errors" if not question.one_sided else ""
    tests = ", that of two one-sided tests at 5 %" if question.one_sided and thresholds.confidence == 0.95 else ""
    return (
        f"Otherwise undecided. Intervals are Student's t over seeds{least}{tests}; fewer than {thresholds.min_seeds} "
        "seeds are undecided."
    )
