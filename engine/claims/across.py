"""The verdict on differences at several sparsities or values of p, all of which must support the claim."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from engine.claims.cases import Case, ClaimScope
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

# Gaps by the name of the sparsity, or of the p, that they are measured at.
Compared = Mapping[str, Gap]

# Differences that share a run of each seed, such as the dense one, correlate like this: they share half their variance.
SHARED_RUN = 0.5


def across(
    claim: str,
    case: Case,
    scope: ClaimScope,
    question: Question,
    compared: Compared,
    absent: str = "",
    field: str = "sparsity",
    families: int = 1,
    correlation: float = 0.0,
    adjust: Callable[[str, Verdict], Verdict] = lambda name, part: part,
) -> Verdict:
    """Return the verdict on differences at several sparsities or values of p, all of which must support the claim.

    For the rule "exceeds" each difference must be above 0, and the mean of all but the largest above the margin, so
    that one sparsity alone never suffices. For the other rules each must lie on the right side of the margin, and so
    must the mean. The chance that one of them makes the claim fail by luck is divided by their number (Bonferroni).
    absent: the reason where nothing is compared. families: the number of such lists that the claim consists of.
    correlation: of these differences, seed by seed. adjust: changes the verdict at one sparsity, by its name.
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
    over = f"{count if count == len(compared) else f'{count} of {len(compared)}'} {_kind(field)}"
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
        reason=_reason(question, each, summary, parts, decisive, over, field, gap.note),
        blocked=next((part.blocked for part in alike if part.blocked), ""),
    )  # fmt: skip


def estimated(compared: Compared, correlation: float = 0.0) -> dict[str, Estimate]:
    """Return the mean of each gap that has a seed; see `estimates` for the spreads, which inform each other."""
    samples = {name: list(gap.values.values()) for name, gap in compared.items() if gap.values}
    return dict(zip(samples, estimates(list(samples.values()), correlation), strict=True))


def _mean_part(
    claim: str,
    case: Case,
    scope: ClaimScope,
    question: Question,
    compared: Compared,
    means: Mapping[str, Estimate],
    field: str,
    strictness: Strictness,
) -> Verdict:
    """Return the verdict on the mean over places; for the rule "exceeds", on the mean of all but the largest."""
    gaps, name = dict(compared), f"mean over {len(compared)} {_kind(field)}"
    if question.rule == "exceeds" and len(means) > 1:
        largest = max(means, key=lambda place: means[place].mean)
        del gaps[largest]
        name = f"mean without {largest}"
    gap, count = average(list(gaps.values()), case.thresholds.min_seeds)
    whole = None
    if count < len(gaps) or len(gap.values) < case.thresholds.min_seeds:
        # Seeds differ from place to place. The widest possible error of the mean is that of fully correlated places.
        single = [means[place] for place in gaps if place in means]
        gap = replace(gap, values={seed: 0.0 for gap in gaps.values() for seed in gap.values})
        fewest = min(mean.n for mean in single) if len(single) == len(gaps) else 0
        if single:
            whole = Estimate(
                fmean(mean.mean for mean in single),
                fmean(mean.error for mean in single) * math.sqrt(fewest) if fewest else math.nan,
                min(mean.freedom for mean in single),
                fewest,
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
    decisive: Verdict,
    over: str,
    field: str,
    note: str,
) -> str:
    """Return the reason of the verdict: the mean, how many comparisons support it, and the one that decides."""
    single = parts[:-1]
    effect = numbers(summary.unit, summary.effect, summary.low, summary.high, summary.n, summary.level)
    on_average = f"{question.what} is {effect}, mean over {over}" if summary.effect is not None else question.what
    holding = sum(part.outcome == "holds" for part in single)
    share = "all" if holding == len(single) else f"{holding} of"
    count = f"shown {each.sentence()} at {share} {len(single)} {_kind(field)}"
    if decisive.outcome == "holds":
        return f"{on_average}; {count}" + (f"; {note}" if note else "")
    place = decisive.scope[field]
    by_mean = place.startswith("mean")
    if decisive.outcome == "fails":
        where = f"contradicted {'by the' if by_mean else 'at'} {place}"
    else:
        where = f"open {'for the' if by_mean else 'at'} {place}"
    return f"{on_average}; {count}; {where}: {decisive.reason.removeprefix(f'{question.what} is ')}"


def rule_across(
    question: Question, thresholds: Thresholds, count: int, field: str = "sparsity", holds: float = 1.0
) -> str:
    """Return the rule of differences at several sparsities or values of p in sentences; holds: as in `Strictness`."""
    confidence = percent(level(question, thresholds, holds))
    if count < 2:
        return f"{answer(question, thresholds)} {_fine_print(question, thresholds)}"
    place = "value of p" if field == "p" else "sparsity"
    if question.rule == "exceeds":
        condition = (
            f"it is above 0 at every {place}, and its mean over them, the {place} of the largest left out, is "
            f"{question.sentence()}"
        )
    else:
        condition = f"it lies {question.sentence()} at every {place}, and so does its mean"
    usual = percent(level(question, thresholds))
    raised = f" ({usual} for one alone: that all lie within by chance is seldom enough)" * (holds != 1)
    return (
        f"{capital(question.what)}: holds where {condition}, each by its {confidence} interval{raised}; fails where "
        "one of these is excluded, by an interval widened for their number (Bonferroni). "
        f"{_fine_print(question, thresholds)}"
    )


def _fine_print(question: Question, thresholds: Thresholds) -> str:
    least = f", at least ±{thresholds.standard_errors:g} standard errors" if not question.one_sided else ""
    tests = ", that of two one-sided tests at 5 %" if question.one_sided and thresholds.confidence == 0.95 else ""
    return (
        f"Otherwise undecided. Intervals are Student's t over seeds{least}{tests}; fewer than {thresholds.min_seeds} "
        "seeds are undecided."
    )
