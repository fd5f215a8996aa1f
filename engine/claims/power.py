"""The number of seeds that would decide an undecided verdict, estimated from the spread so far."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from scipy.special import ndtr

from engine.claims.intervals import Estimate, quantile
from engine.claims.questions import Question, Thresholds, tail
from engine.claims.verdict import Outcome, Verdict

# Seeds are counted until the chance of a decision reaches POWER, up to a number that somebody may train.
POWER, MOST_SEEDS = 0.8, 100


@dataclass(frozen=True)
class Need:
    """The seeds that an undecided verdict needs, if effects and spread stay as they are.

    toward: the likelier outcome. now: its chance with the present n seeds. seeds: the number for a chance of 80 %, None
    where no number up to 100 is enough. why: the obstacle that more seeds do not remove.
    """

    toward: Outcome
    now: float
    n: int
    seeds: int | None
    why: str = ""

    @property
    def more(self) -> int | None:
        """The number of seeds to add."""
        return None if self.seeds is None else self.seeds - self.n

    @property
    def sentence(self) -> str:
        """The need as a sentence."""
        if self.seeds is None:
            reason = f": {self.why}" if self.why else ""
            return f"No number of seeds up to {MOST_SEEDS} decides this{reason}."
        more = f"{self.more} more seed{'s' * (self.more != 1)}"
        if self.toward == "undecided":
            return f"Needs {more}: {self.why}."
        return (
            f"Needs {more}, {self.seeds} in all: if effects and spread are as seen here, it then {self.toward} with a "
            f"chance of 80 %; with {self.n} seeds that chance is {100 * self.now:.0f} %."
        )


def need(verdict: Verdict) -> Need | None:
    """Return the seeds that an undecided verdict needs; None for a decided verdict, or one whose runs are missing."""
    if verdict.outcome != "undecided":
        return None
    leaves = list(_leaves(verdict))
    n = min((leaf.n for leaf in leaves), default=0)
    if verdict.blocked or not leaves:
        return Need("undecided", 0.0, n, None, verdict.blocked or verdict.reason)
    least = max((leaf.thresholds.min_seeds for leaf in leaves if leaf.thresholds is not None), default=0)
    if any(leaf.estimate is None for leaf in leaves):
        return Need("undecided", 0.0, n, None, "runs diverged, or are missing")
    if any(leaf.estimate is not None and math.isnan(leaf.estimate.deviation) for leaf in leaves):
        return Need("undecided", 0.0, n, max(least, n + 1), "one seed has no spread to plan by")
    chances = {"holds": _holds(verdict, MOST_SEEDS), "fails": _fails(verdict, MOST_SEEDS)}
    toward: Outcome = "holds" if chances["holds"] >= chances["fails"] else "fails"
    chance = _holds if toward == "holds" else _fails
    now = chance(verdict, n) if n >= least else 0.0
    enough = next(
        (count for count in range(max(n + 1, least), MOST_SEEDS + 1) if chance(verdict, count) >= POWER), None
    )
    return Need(
        toward, now, n, enough, "" if enough else f"the effect lies too near its margin{_where(verdict, toward)}"
    )


def _where(verdict: Verdict, toward: Outcome) -> str:
    """Return in brackets which of several comparisons, all of which count, keeps a verdict undecided; else nothing."""
    if verdict.join != "all" or not verdict.parts or any(part.parts for part in verdict.parts):
        return ""
    if toward == "holds":
        deciding = min(verdict.parts, key=lambda leaf: _passes(leaf, MOST_SEEDS))
    else:
        deciding = max(verdict.parts, key=lambda leaf: _excluded(leaf, MOST_SEEDS))
    own = [value for name, value in deciding.scope.items() if verdict.scope.get(name) != value]
    return f" ({' · '.join(own)})" if own else ""


def _leaves(verdict: Verdict) -> Iterator[Verdict]:
    """Yield the single comparisons that a verdict consists of."""
    if not verdict.parts:
        if verdict.question is not None:
            yield verdict
        return
    for part in verdict.parts:
        yield from _leaves(part)


def _holds(verdict: Verdict, n: int) -> float:
    """Return the chance that a verdict holds with n seeds, if its comparisons are independent of each other."""
    if not verdict.parts:
        return _passes(verdict, n)
    if verdict.join == "all":
        return math.prod(_holds(part, n) for part in verdict.parts)
    return 1 - math.prod(1 - _holds(part, n) for part in verdict.parts)


def _fails(verdict: Verdict, n: int) -> float:
    """Return the chance that a verdict fails with n seeds; where one part is enough, that of the likeliest part."""
    if not verdict.parts:
        return _excluded(verdict, n)
    if verdict.join == "all":
        return max(_fails(part, n) for part in verdict.parts)
    return math.prod(_fails(part, n) for part in verdict.parts)


def _passes(leaf: Verdict, n: int) -> float:
    question, estimate, thresholds = _comparison(leaf)
    error = estimate.deviation / math.sqrt(n)
    least = 0.0 if question.one_sided else thresholds.standard_errors
    half = max(_quantile(estimate, n, tail(question, thresholds) / leaf.strictness.holds), least) * error
    margin, mean = question.margin, estimate.mean
    if question.rule == "within":
        return max(0.0, _above(margin - half - mean, error) - _above(half - margin - mean, error))
    slack = {"exceeds": mean - margin, "matches": mean + margin, "below": margin - mean}[question.rule] - half
    return _above(slack, error)


def _excluded(leaf: Verdict, n: int) -> float:
    question, estimate, thresholds = _comparison(leaf)
    error = estimate.deviation / math.sqrt(n)
    half = _quantile(estimate, n, (1 - thresholds.confidence) / 2 / leaf.strictness.fails) * error
    margin, mean = question.margin, estimate.mean
    slack = {
        "exceeds": margin - mean, "within": abs(mean) - margin, "matches": -margin - mean, "below": mean - margin
    }[question.rule] - half  # fmt: skip
    return _above(slack, error)


def _comparison(leaf: Verdict) -> tuple[Question, Estimate, Thresholds]:
    assert leaf.question is not None
    assert leaf.estimate is not None
    assert leaf.thresholds is not None
    return leaf.question, leaf.estimate, leaf.thresholds


def _quantile(estimate: Estimate, n: int, chance: float) -> float:
    freedom = estimate.freedom * (n - 1) / max(estimate.n - 1, 1)
    return quantile(round(freedom, 1), 1 - chance)


def _above(slack: float, error: float) -> float:
    if error == 0:
        return float(slack > 0)
    return float(ndtr(slack / error))
