"""The paper's claims, each with the function that judges it, and the verdicts on them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from engine.claims import accuracy, overlap, pruners, reach
from engine.claims.cases import Case, rate_name
from engine.claims.evidence import OverlapPoint, Point, groups
from engine.claims.questions import Thresholds
from engine.claims.verdict import Verdict, combine
from engine.registry import PRUNERS


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    name: the text in a few words. where: its places in the paper. needs: the runs that it needs. judge: judges a case.
    """

    id: str
    name: str
    text: str
    where: str
    needs: str
    judge: Callable[[str, Case], Iterator[Verdict]]


_CLAIMS = (
    Claim(
        "A1",
        "ticket beats reinit at the low rate",
        "At the low learning rate, the winning ticket beats random reinit across sparsities.",
        "figure 1; main text, figure 2",
        "winning ticket and random reinit at the low rate",
        accuracy.beats_at_low,
    ),
    Claim(
        "A2",
        "ticket and reinit alike at the high rate",
        "At the high learning rate, winning ticket and random reinit do not differ.",
        "figure 1; main text, figure 2",
        "winning ticket and random reinit at the high rate",
        accuracy.similar_at_high,
    ),
    Claim(
        "A1+A2",
        "the ticket's lead is larger at the low rate",
        "The winning ticket's advantage over random reinit is larger at the low learning rate than at the high one.",
        "figure 1; main text, figure 2: what A1 and A2 say together",
        "winning ticket and random reinit at two learning rates",
        accuracy.larger_at_low,
    ),
    Claim(
        "A3",
        "dense is better at the high rate",
        "The dense network is more accurate at the high learning rate than at the low one.",
        "figure 1; the accuracies that the text states",
        "dense networks at two learning rates",
        accuracy.dense,
    ),
    Claim(
        "A4",
        "the winning property is at the low rate only",
        "The winning property (the ticket matches dense and beats reinit) is there at the low learning rate only.",
        "figure 1",
        "dense, winning ticket and random reinit at two learning rates",
        accuracy.winning,
    ),
    Claim(
        "B1",
        "weights stay at the low rate, not at the high one",
        "The overlap of initial and trained dense weights is well above p at the low learning rate and about p at the "
        "high one.",
        "figure 2; main text, figure 4",
        "dense networks at two learning rates",
        overlap.retention,
    ),
    Claim(
        "C1",
        "fine-tune stays close to dense",
        "Fine-tuning stays close to or above dense at the same learning rate.",
        "figure 3; main text, figure 5",
        "dense and fine-tune",
        accuracy.close,
    ),
    Claim(
        "D1",
        "the ticket resembles the fine-tuned at the low rate",
        "At the low learning rate, the ticket's weights overlap the fine-tuned ones more than a reinit's; at the high "
        "rate, both overlap them about as chance does.",
        "figures 4 to 6; main text, figure 5",
        "fine-tune at two learning rates",
        overlap.start_overlap,
    ),
    Claim(
        "E1",
        "fine-tune beats ticket and reinit at the high rate",
        "At the high learning rate, fine-tuning beats winning ticket and random reinit under every pruner.",
        "figures 7 to 10; main text, figure 6",
        "fine-tune, winning ticket and random reinit at the high rate",
        accuracy.finetune_wins,
    ),
    Claim(
        "E2",
        "ADMM, then iterative, then one-shot at the high rate",
        "At the high learning rate, ADMM is at least as accurate as iterative pruning, and that as one-shot pruning, "
        "for fine-tuning and for winning tickets.",
        "figures 11 and 12; main text, figure 7",
        "fine-tune and winning ticket under ADMM, iterative and one-shot pruning",
        pruners.pruner_order,
    ),
    Claim(
        "E3",
        "fine-tune under ADMM matches dense furthest",
        "At the high learning rate, fine-tuning under ADMM matches dense up to the highest sparsity of the pruners.",
        "figures 7 to 12",
        "dense, and fine-tune under ADMM and another pruner",
        reach.furthest,
    ),
    Claim(
        "F1",
        "fine-tuned weights resemble the trained ones",
        "The fine-tuned network overlaps the trained dense weights beyond what its mask alone gives, and the initial "
        "weights only as far as its mask does.",
        "table 1",
        "fine-tune at the high rate and a sparsity of at most 1 - p",
        overlap.ancestors,
    ),
    Claim(
        "G1",
        "fine-tune, then rewind, then ticket at the high rate",
        "At the high learning rate, fine-tune is more accurate than rewind, and rewind than the winning ticket.",
        "figure 13",
        "fine-tune, rewind and winning ticket at the high rate",
        accuracy.rewinding,
    ),
)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _CLAIMS}

# The paper's two learning rates are LOW and HIGH. The only rate of a study is a high one from ALONE_HIGH on.
LOW, HIGH, ALONE_HIGH = 0.01, 0.1, 0.05


def evaluate(
    points: Iterable[Point],
    overlaps: Iterable[OverlapPoint],
    thresholds: Thresholds | None = None,
    low: float | None = None,
    high: float | None = None,
    claims: Sequence[str] | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdicts on all claims, or some, in the order of the claims, then of dataset, network and pruner.

    low, high: the learning rates that claims call so; left out, 0.01 and 0.1 if there are runs at both, else the lowest
    and the highest; a single rate is high from 0.05 on, and low below. The order of points does not matter; a seed
    counts where both of its runs are there and finite. Verdicts on pruners that the paper makes no claim about are
    marked as controls. ValueError where low is not below high, or a claim is unknown.
    """
    if low is not None and high is not None and low >= high:
        raise ValueError(f"the low learning rate, {low:g}, must lie below the high one, {high:g}; choose two rates")
    if unknown := [name for name in claims or () if name not in CLAIMS]:
        raise ValueError(f"no claim {', '.join(unknown)}; allowed: {', '.join(CLAIMS)}")
    thresholds = thresholds or Thresholds()
    cases = [Case(group, *rates(group.rates(), low, high), thresholds) for group in groups(points, overlaps)]
    return tuple(
        replace(verdict, control=_is_control(verdict))
        for claim in CLAIMS.values()
        if claims is None or claim.id in claims
        for case in cases
        for verdict in claim.judge(claim.id, case)
    )


# What the claims about one rate ask at the other rates: as of the low rate, or of the high one.
_ASKED: dict[str, dict[str, str]] = {
    "A1": {"low": "ticket beats reinit"},
    "A2": {"high": "ticket and reinit alike"},
    "B1": {"low": "weights stay", "high": "weights do not stay"},
    "D1": {"low": "the ticket resembles the fine-tuned", "high": "ticket and reinit resemble it as chance does"},
    "E1": {"high": "fine-tune beats ticket and reinit"},
    "E2": {"high": "ADMM, then iterative, then one-shot"},
    "E3": {"high": "fine-tune under ADMM matches dense furthest"},
    "F1": {"high": "fine-tuned weights resemble the trained ones"},
    "G1": {"high": "fine-tune, then rewind, then ticket"},
}


def elsewhere(
    points: Iterable[Point],
    overlaps: Iterable[OverlapPoint],
    thresholds: Thresholds | None = None,
    low: float | None = None,
    high: float | None = None,
) -> tuple[Verdict, ...]:
    """Return what the claims about one learning rate say at each rate other than the low and the high one.

    Arguments as in `evaluate`, whose verdicts these leave as they are. A claim on the low rate asks the same of another
    rate, and so does a claim on the high one; claims that contrast two rates ask nothing there, and C1 is judged at
    every rate anyway. The scope has the rate, and "asked" in a few words. The verdicts on one question are a family:
    each has intervals widened for the number of other rates (Bonferroni). Verdicts without runs are left out.
    """
    thresholds = thresholds or Thresholds()
    found = []
    for group in groups(points, overlaps):
        lowest, highest = rates(group.rates(), low, high)
        if lowest is None or highest is None:
            continue
        others = [rate for rate in group.rates() if rate not in (lowest, highest)]
        stricter = 1 - (1 - thresholds.confidence) / max(len(others), 1)
        widened = thresholds.model_copy(update={"confidence": stricter})
        for name, questions in _ASKED.items():
            for end, asked in questions.items():
                for rate in others:
                    case = Case(group, rate if end == "low" else None, rate if end == "high" else None, widened)
                    found += [_at(rate, asked, verdict) for verdict in CLAIMS[name].judge(name, case)]
    return tuple(verdict for verdict in found if verdict.outcome != "missing")


def _at(rate: float, asked: str, verdict: Verdict) -> Verdict:
    """Return a verdict as one on another rate; of a claim that contrasts rates, what it says of this one alone."""
    if verdict.outcome == "missing" and verdict.parts:
        verdict = combine(verdict.claim, verdict.scope, verdict.parts, verdict.parts[0].rule)
    scope = {**verdict.scope, "learning_rate": rate_name(rate), "asked": asked}
    rule = verdict.rule.replace("At the high rate", "At this rate")
    return replace(verdict, scope=scope, rule=rule, control=_is_control(verdict))


def winning_property(points: Iterable[Point], thresholds: Thresholds | None = None) -> tuple[Verdict, ...]:
    """Return whether the ticket matches dense and beats reinit, for every learning rate, pruner and sparsity."""
    thresholds = thresholds or Thresholds()
    return tuple(
        verdict
        for group in groups(points, ())
        for pruner in group.pruners()
        for rate in group.rates()
        for verdict in accuracy.property_at(Case(group, None, None, thresholds), pruner, rate)
    )


def _is_control(verdict: Verdict) -> bool:
    """Return whether a verdict is about a pruner that the paper makes no claim about."""
    name = verdict.scope.get("pruner")
    return name is not None and (name not in PRUNERS or not PRUNERS[name].in_paper)


def rates(
    all_rates: Sequence[float], low: float | None = None, high: float | None = None
) -> tuple[float | None, float | None]:
    """Return the low and the high one of some learning rates, None where there is none; see `evaluate`.

    low, high: the rates that the caller chooses.
    """
    if low is None and high is None and len(all_rates) == 1:
        return (None, all_rates[0]) if all_rates[0] >= ALONE_HIGH else (all_rates[0], None)
    both = LOW in all_rates and HIGH in all_rates
    if low is None:
        below = [rate for rate in all_rates if high is None or rate < high]
        low = LOW if both and LOW in below else min(below, default=None)
    if high is None:
        above = [rate for rate in all_rates if low is None or rate > low]
        high = HIGH if both and HIGH in above else max(above, default=None)
    return low, high
