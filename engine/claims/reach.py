"""Claim E3: the sparsity up to which fine-tuning matches dense, pruner by pruner, with its uncertainty over seeds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.claims.cases import Case, ClaimScope, missing_rate, rate_name, sparsity_name
from engine.claims.evidence import Gap
from engine.claims.intervals import Estimate, quantile
from engine.claims.pruners import COMPARED, unmoved
from engine.claims.questions import Question, Strictness
from engine.claims.verdict import Verdict, combine, missing, numbers
from engine.registry import pruner_title

Numbers = NDArray[np.float64]

# With this many draws, a bound moves by a hundredth of the interval from one set of draws to another.
DRAWS = 2000
WHAT = "highest sparsity up to which fine-tune under ADMM matches dense minus the same under"


def furthest(claim: str, case: Case) -> Iterator[Verdict]:
    """E3: under ADMM, fine-tune matches dense up to a higher sparsity than under each of the other pruners.

    Undecided where under every pruner fine-tune matches dense at all trained sparsities or at none, and where ADMM's
    masks are almost one-shot's.
    """
    rate = case.high
    if rate is None:
        yield missing_rate(case, claim, case.scope, "sparsity")
        return
    scope = {**case.scope, "learning_rate": rate_name(rate)}
    trained = [name for name in COMPARED if _finetuned(case, name, rate)]
    others = [name for name in trained if name != "admm"]
    rule = (
        f"Fine-tune matches dense up to the sparsity where its mean over seeds falls {case.margin:g} points below "
        "dense, between two sparsities in a straight line. ADMM is compared with each other pruner: holds where the "
        "interval of the difference does not reach below 0, fails where it lies below 0. The interval resamples the "
        "seeds (2,000 draws, wider for few seeds as Student's t is). Holds where all hold, fails where one fails; "
        "undecided too where fine-tune matches dense at none or at all sparsities under every pruner."
    )
    if "admm" not in trained or not others:
        names = " and ".join(map(pruner_title, trained))
        reason = f"fine-tune has finished under {names + ' only' if names else 'no pruner'}"
        yield missing(claim, scope, "sparsity", rule, f"{reason}; needs ADMM and another pruner")
        return
    parts = [_compared(claim, case, scope, rate, other, len(others)) for other in others]
    verdict = combine(claim, scope, parts, rule)
    if same := _indistinct(case, rate, trained):
        verdict = replace(verdict, outcome="undecided", reason=same, blocked=same)
    yield verdict


def _indistinct(case: Case, rate: float, pruners: list[str]) -> str:
    """Return a sentence if fine-tune matches dense at none or at all sparsities under every pruner; else empty."""
    common = sorted(set.intersection(*(_finetuned(case, name, rate) for name in pruners)))
    if not common:
        return ""
    gaps, _ = _gaps(case, rate, pruners, common)
    if not np.isfinite(gaps).any(axis=0).all():
        return ""
    ends = set(reached(np.nanmean(gaps, axis=0), common, case.margin).tolist())
    if ends == {common[-1]}:
        where = f"matches dense up to {sparsity_name(common[-1])}, the highest"
    elif max(ends) < common[0]:
        where = f"does not match dense at {sparsity_name(common[0])}"
    else:
        return ""
    return f"under every pruner fine-tune {where}: these sparsities do not tell the pruners apart"


def _compared(claim: str, case: Case, scope: ClaimScope, rate: float, other: str, count: int) -> Verdict:
    what = f"{WHAT} {pruner_title(other)}"
    place = {**scope, "against": f"{pruner_title('admm')} over {pruner_title(other)}"}
    common = sorted(_finetuned(case, "admm", rate) & _finetuned(case, other, rate))
    if not common:
        return missing(claim, place, "sparsity", f"{what}.", f"{what}: no sparsity is trained under both")
    gaps, note = _gaps(case, rate, ("admm", other), common)
    counts = np.isfinite(gaps).sum(axis=0)
    n = int(counts.min())
    if n == 0:
        return missing(claim, place, "sparsity", f"{what}.", f"{what}: a sparsity has no seed with every run{note}")
    mean = np.nanmean(gaps, axis=0)
    effect = float(np.subtract(*reached(mean, common, case.margin)))
    thresholds = case.thresholds
    shown = 2 * thresholds.confidence - 1
    verdict = Verdict(
        claim, place, "undecided", effect, None, None, "sparsity", n, f"{what}.", "", level=shown,
        question=Question(what, "matches", 0.0, "sparsity"), strictness=Strictness(fails=count), thresholds=thresholds,
        estimate=Estimate(effect, math.nan, math.nan, n),
    )  # fmt: skip
    if n > 1:
        draws = _resampled(gaps, mean, counts)
        differences = reached(draws[:, 0], common, case.margin) - reached(draws[:, 1], common, case.margin)
        chance = 1 - thresholds.confidence
        low, high, most = (float(q) for q in np.quantile(differences, (chance, 1 - chance, 1 - chance / 2 / count)))
        deviation = (high - low) / 2 / quantile(n - 1, 1 - chance) * math.sqrt(n)
        verdict = replace(verdict, low=low, high=high, estimate=Estimate(effect, deviation, n - 1, n))
        if n >= thresholds.min_seeds:
            verdict = replace(verdict, outcome="holds" if low >= 0 else "fails" if most < 0 else "undecided")
    reason = f"{what} is {numbers('sparsity', effect, verdict.low, verdict.high, n, shown)}{note}"
    if n < thresholds.min_seeds:
        return replace(verdict, reason=f"{reason}; needs {thresholds.min_seeds} seeds")
    if same := [why for name, why in unmoved(case, rate).items() if name in map(sparsity_name, common)]:
        return replace(verdict, outcome="undecided", reason=f"{reason}; {same[0]}", blocked=same[0])
    return replace(verdict, reason=reason)


def reached(curves: Numbers, sparsities: list[float], margin: float) -> Numbers:
    """Return the sparsity at which each curve first falls below -margin, interpolated from the point before.

    curves: shape (count, sparsities), gaps to dense in points; at sparsity 0 the gap is 0. Returns shape (count,): the
    highest sparsity for a curve that never falls below, NaN for one with a NaN.
    """
    places = np.concatenate(([0.0], sparsities))
    values = np.concatenate((np.zeros((len(curves), 1)), curves), axis=1)
    below = values < -margin
    first = np.where(below.any(axis=1), below.argmax(axis=1), len(sparsities))
    rows = np.arange(len(curves))
    before, after = values[rows, first - 1], values[rows, first]
    falls = below[rows, first]
    share = np.where(falls, (before + margin) / np.where(falls, before - after, 1.0), 1.0)
    crossings: Numbers = places[first - 1] + share * (places[first] - places[first - 1])
    return np.where(np.isnan(curves).any(axis=1), math.nan, crossings)


def _resampled(gaps: Numbers, mean: Numbers, counts: NDArray[np.int64]) -> Numbers:
    """Return draws of the mean over seeds: each seed's deviation gets a random weight with Student's t's tails.

    gaps: shape (seeds, pruners, sparsities), NaN where a seed lacks a run. mean, counts: over its seeds. Returns shape
    (DRAWS, pruners, sparsities), the same draws at every call.
    """
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((DRAWS, len(gaps)))
    freedom = int(counts.min()) - 1
    weights *= np.sqrt(freedom / generator.chisquare(freedom, (DRAWS, 1)))
    deviations = np.nan_to_num(gaps - mean) / np.sqrt(counts * np.maximum(counts - 1, 1))
    draws: Numbers = mean + np.einsum("ds,spk->dpk", weights, deviations)
    return draws


def _finetuned(case: Case, pruner: str, rate: float) -> set[float]:
    group = case.group
    if not group.dense(rate):
        return set()
    return {s for s in group.sparsities(pruner, rate) if group.accuracy(pruner, rate, s, "finetune")}


def _gaps(case: Case, rate: float, pruners: Sequence[str], sparsities: list[float]) -> tuple[Numbers, str]:
    """Return fine-tune minus dense as (seeds, pruners, sparsities), and a note on the seeds that lack a run.

    A gap is NaN where a run is missing, or where it or its dense network diverged.
    """
    dense = case.group.dense(rate)
    runs = [[case.group.accuracy(name, rate, sparsity, "finetune") for sparsity in sparsities] for name in pruners]
    seeds = sorted(set(dense).union(*(run for own in runs for run in own)))
    rows = [[[run.get(seed, math.nan) - dense.get(seed, math.nan) for run in own] for own in runs] for seed in seeds]
    gaps = np.array(rows, dtype=np.float64).reshape(-1, len(pruners), len(sparsities))
    partial = {seed for seed, row in zip(seeds, gaps, strict=True) if not np.isfinite(row).all()}
    lacking = {seed for seed in partial if seed not in dense or any(seed not in run for own in runs for run in own)}
    note = Gap(dict.fromkeys(set(seeds) - partial, 0.0), frozenset(partial - lacking), frozenset(lacking)).note
    return gaps, f"; {note}" if note else ""
