"""Verdicts on one difference or several together: the claim holds, fails, is undecided, or lacks runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.claims.evidence import Gap
from engine.claims.intervals import Estimate, estimates
from engine.claims.questions import (
    UNITS,
    USUAL,
    Question,
    Strictness,
    Thresholds,
    answer,
    half_width,
    is_excluded,
    level,
    percent,
    slack,
)
from engine.registry import pruner_title

Outcome = Literal["holds", "fails", "undecided", "missing"]
OUTCOMES: tuple[Outcome, ...] = ("holds", "fails", "undecided", "missing")
Join = Literal["all", "any"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, or on one comparison of it.

    scope: the fields of a study that it is about, as text. effect, low, high: a mean over n seeds and its interval at
    the confidence `level`, in unit (points of accuracy, overlap, or sparsity). rule: when it holds and fails. reason:
    why it has this outcome. parts: the comparisons that it consists of; join: all of them must hold, or any. question,
    estimate, strictness, thresholds: how a comparison was judged; None where nothing was compared. over: the values
    that the effect is a mean over, where it only summarises the parts. control: it is about a pruner that the paper
    makes no claim about. blocked: why no number of further seeds would decide it; empty where they might.
    """

    claim: str
    scope: Mapping[str, str]
    outcome: Outcome
    effect: float | None
    low: float | None
    high: float | None
    unit: str
    n: int
    rule: str
    reason: str
    parts: "tuple[Verdict, ...]" = ()
    join: Join = "all"
    level: float = 0.95
    question: Question | None = None
    estimate: Estimate | None = None
    strictness: Strictness = USUAL
    thresholds: Thresholds | None = None
    over: str = ""
    control: bool = False
    blocked: str = ""

    @property
    def place(self) -> str:
        """The scope as one line."""
        return " · ".join(self.scope.values())

    @property
    def at_another_rate(self) -> bool:
        """Whether it asks what a claim asks at another learning rate than the claim's; see `elsewhere`."""
        return "asked" in self.scope

    @property
    def slack(self) -> float:
        """The distance of the interval from the margin, in the unit: below 0 if it does not hold, -inf without one."""
        if self.parts and self.question is not None:
            return (min if self.join == "all" else max)(part.slack for part in self.parts)
        if self.question is None or self.estimate is None or self.thresholds is None:
            return -math.inf
        if math.isnan(self.estimate.deviation):
            return -math.inf
        return slack(self.question, self.estimate, self.thresholds, self.strictness)


def judge(
    claim: str,
    scope: Mapping[str, str],
    question: Question,
    gap: Gap,
    thresholds: Thresholds,
    strictness: Strictness = USUAL,
    estimate: Estimate | None = None,
) -> Verdict:
    """Return the verdict on one difference; estimate: its mean with a spread that other differences inform."""
    if not gap.values:
        # Runs that diverged are not missing, so the verdict is undecided.
        diverged = bool(gap.odd)
        reason = gap.note or f"no runs for {question.what}"
        return replace(
            missing(claim, scope, question.unit, answer(question, thresholds, strictness.holds), reason),
            outcome="undecided" if diverged else "missing",
            question=question,
            thresholds=thresholds,
            strictness=strictness,
            blocked="every seed diverged" if diverged else "",
        )
    estimate = estimate or estimates([list(gap.values.values())])[0]
    confidence = level(question, thresholds, strictness.holds)
    low = high = None
    if estimate.n > 1:
        half = half_width(question, estimate, thresholds, strictness.holds)
        low, high = estimate.mean - half, estimate.mean + half
    outcome: Outcome = "undecided"
    reason = f"{question.what} is {numbers(question.unit, estimate.mean, low, high, estimate.n, confidence)}"
    if estimate.n < thresholds.min_seeds:
        reason = f"{reason}; needs {thresholds.min_seeds} seeds"
    elif slack(question, estimate, thresholds, strictness) > 0:
        outcome = "holds"
    elif is_excluded(question, estimate, thresholds, strictness):
        outcome = "fails"
    if gap.note:
        reason = f"{reason}; {gap.note}"
    return Verdict(
        claim, dict(scope), outcome, estimate.mean, low, high, question.unit, estimate.n,
        answer(question, thresholds, strictness.holds),
        reason, level=confidence, question=question, estimate=estimate, strictness=strictness, thresholds=thresholds,
    )  # fmt: skip


def missing(
    claim: str, scope: Mapping[str, str], unit: str, rule: str, reason: str, parts: Sequence[Verdict] = ()
) -> Verdict:
    """Return the verdict where runs that a claim needs are missing; parts: the comparisons that need none of them."""
    return Verdict(claim, dict(scope), "missing", None, None, None, unit, 0, rule, reason, tuple(parts))


def joined(parts: Sequence[Verdict], join: Join) -> Outcome:
    """Return the joint outcome of several verdicts, of which all must hold, or any."""
    outcomes = {part.outcome for part in parts}
    order: tuple[Outcome, ...] = ("fails", "missing", "undecided", "holds")
    if join == "any":
        order = ("holds", "missing", "undecided", "fails")
    return next(outcome for outcome in order if outcome in outcomes)


def combine(claim: str, scope: Mapping[str, str], parts: Sequence[Verdict], rule: str, join: Join = "all") -> Verdict:
    """Return the joint verdict of several: with join "all" it holds where all hold, with "any" where one holds.

    Its numbers are those of the decisive part: among the parts with the joint outcome, the one of least slack for
    "all", of most slack for "any".
    """
    outcome = joined(parts, join)
    alike = [part for part in parts if part.outcome == outcome]
    pick = min if join == "all" else max
    decisive = pick(alike, key=lambda part: (part.slack, part.place))
    place = beyond(decisive, scope)
    reason = f"{place}: {decisive.reason}" if place else decisive.reason
    if outcome == "holds" and join == "all" and len(parts) > 1:
        reason = f"{'both' if len(parts) == 2 else f'all {len(parts)}'} parts hold; the closest, {reason}"
    blocked = next((part.blocked for part in alike if part.blocked), "")
    return replace(
        decisive, claim=claim, scope=dict(scope), outcome=outcome, rule=rule, reason=reason, parts=tuple(parts),
        join=join, over="", blocked=blocked,
    )  # fmt: skip


def beyond(part: Verdict, scope: Mapping[str, str]) -> str:
    """Return as one line the values in a part's scope that another scope lacks, pruners by their titles."""
    further = {name: value for name, value in part.scope.items() if scope.get(name) != value}
    return " · ".join(pruner_title(value) if name == "pruner" else value for name, value in further.items())


def numbers(unit: str, effect: float | None, low: float | None, high: float | None, n: int, confidence: float) -> str:
    """Return an effect with its interval and n, such as "+2.10 points (95 % interval +1.80 to +2.40, n = 5)"."""
    digits, name, factor = UNITS[unit]
    mean, least, most = ("" if value is None else f"{factor * value:+.{digits}f}" for value in (effect, low, high))
    interval = f"{percent(confidence)} interval {least} to {most}, " if least and most else ""
    return f"{mean}{name} ({interval}n = {n})"
