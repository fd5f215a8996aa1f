"""Verdicts in words and as tables, the same on every page and in every report."""

from collections.abc import Sequence

import pandas as pd

from app import words
from app.charts.forest import row_name
from engine.claims import OUTCOMES, Thresholds, Verdict, need
from engine.claims.questions import UNITS, percent
from engine.study.spec import Study


def recipe_words(study: Study) -> str:
    """Return the part of a recipe that is shown beside every verdict."""
    recipe = study.recipe
    return (
        f"T = {words.plural(recipe.epochs, 'epoch')}, weight decay {words.number(recipe.weight_decay)}. Both take part "
        "in how much of the initial weights is left, so a verdict is for this recipe and says nothing about others."
    )


def effect_words(verdict: Verdict) -> str:
    """Return a verdict's effect with its interval and n, in words."""
    if verdict.effect is None:
        return verdict.reason
    digits, unit, factor = UNITS[verdict.unit]
    effect, low, high = (
        "" if value is None else words.minus(f"{factor * value:+.{digits}f}")
        for value in (verdict.effect, verdict.low, verdict.high)
    )
    interval = f", {percent(verdict.level)} interval {low} to {high}" if low else ""
    return f"{effect}{unit}{interval} (n = {verdict.n})"


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return how many verdicts hold, fail, are undecided, and lack their runs; those on controls are not counted."""
    return {outcome: sum(v.outcome == outcome and not v.control for v in verdicts) for outcome in OUTCOMES}


def is_shown(verdict: Verdict) -> bool:
    """Return whether a verdict has numbers to show: runs may be missing for one part of a claim alone."""
    return verdict.outcome != "missing" or any(part.effect is not None for part in comparisons(verdict))


def by_chance(verdicts: Sequence[Verdict]) -> str:
    """Return what the number of verdicts on a page means for chance."""
    judged = sum(verdict.outcome != "missing" for verdict in verdicts)
    return (
        f"{words.plural(judged, 'verdict')} on this page: each is made to come out wrong at most 5 % of the time, so "
        f"by chance alone up to {0.05 * judged:.1f} of them may be wrong. How often they are in simulated worlds: "
        "python -m benchmarks.verdicts."
    )


def over_seeds(test_images: int | None) -> str:
    """Return what intervals cover, and that they leave out other test sets; test_images: the size of this one."""
    text = "Intervals are over seeds, on one fixed test set: they say nothing of other test images."
    if test_images:
        half = 1.96 * 100 * (0.9 * 0.1 / test_images) ** 0.5
        text += (
            f" It has {words.plural(test_images, 'image')}: a point of accuracy is {test_images / 100:.3g} of them, "
            f"and another test set of this size would move an accuracy near 90 % by ±{half:.2g} points (95 %); a "
            "difference of two by less, since both see the same images."
        )
    return f"{text} Accuracies are of the last epoch; a best epoch, where one is shown, is chosen on the test images."


def needed(verdict: Verdict) -> str:
    """Return what would decide an undecided verdict, in words; empty for another."""
    found = need(verdict)
    return "" if found is None else found.sentence


def widened(verdicts: Sequence[Verdict]) -> str:
    """Return why the intervals of claim A4 differ from those of the table of the winning property."""
    levels = [
        leaf.level
        for verdict in verdicts
        if verdict.claim == "A4" and verdict.parts and verdict.outcome != "missing"
        for at in verdict.parts[0].parts
        for leaf in at.parts
    ]
    if not levels:
        return ""
    return (
        f"Claim A4 looks at all sparsities and needs one, so its intervals at the low rate are wider "
        f"({percent(max(levels))}) than those of this table, which are for one sparsity at a time."
    )


def numbers(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts and all their parts, a row each, ready for CSV.

    Columns: claim, scope, verdict, effect, low, high, confidence (of the interval), unit, n, reason, control, needs
    (what would decide it).
    """
    names = [
        "claim",
        "scope",
        "verdict",
        "effect",
        "low",
        "high",
        "confidence",
        "unit",
        "n",
        "reason",
        "control",
        "needs",
    ]
    rows = [
        (v.claim, v.place, v.outcome, v.effect, v.low, v.high, round(v.level, 4), v.unit, v.n, v.reason,
         verdict.control, needed(verdict) if v is verdict else "")
        for verdict in verdicts
        for v in _with_parts(verdict)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def thresholds_table(thresholds: Thresholds) -> pd.DataFrame:
    """Return the thresholds as people read them: name, value, what it is and where it comes from."""
    rows = [
        (name.replace("_", " "), f"{getattr(thresholds, name):g}", field.description)
        for name, field in Thresholds.model_fields.items()
    ]
    return pd.DataFrame(rows, columns=["threshold", "value", "what it is"])


def comparisons(verdict: Verdict) -> list[Verdict]:
    """Return the comparisons behind a verdict, each mean before its parts; the verdict itself where it is one."""
    below = [row for part in verdict.parts for row in comparisons(part)]
    return [verdict, *below] if verdict.over or not below else below


def rules(verdict: Verdict) -> list[str]:
    """Return a verdict's rule and, where it combines several lists of comparisons, theirs."""
    below = [rule for part in verdict.parts if part.over for rule in rules(part)]
    return list(dict.fromkeys([verdict.rule, *below]))


def scope(verdict: Verdict, shared: Sequence[str]) -> str:
    """Return a verdict's scope in words, without the fields that the text around it names already."""
    names = {"pruner": words.pruner, "network": words.network, "dataset": words.dataset}
    parts = [names.get(name, str)(value) for name, value in verdict.scope.items() if name not in shared]
    return " · ".join(parts)


def compared(verdict: Verdict) -> pd.DataFrame:
    """Return the comparisons behind a verdict as a table: comparison, verdict and effect, a row each."""
    parts = comparisons(verdict)
    return pd.DataFrame(
        {
            "comparison": [row_name(part, verdict.scope) for part in parts],
            "verdict": [part.outcome for part in parts],
            "effect": [effect_words(part) for part in parts],
        }
    )


def winning(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return where the winning property is: a row for each learning rate, pruner and sparsity."""
    return pd.DataFrame(
        {
            "learning rate": [v.scope["learning_rate"].removeprefix("learning rate ") for v in verdicts],
            "pruner": [words.pruner(v.scope["pruner"]) for v in verdicts],
            "sparsity": [v.scope["sparsity"].removeprefix("sparsity ") for v in verdicts],
            "winning property": [v.outcome for v in verdicts],
            "ticket minus dense (points)": [effect_words(v.parts[0]) for v in verdicts],
            "ticket minus reinit (points)": [effect_words(v.parts[1]) for v in verdicts],
        }
    )


def _with_parts(verdict: Verdict) -> list[Verdict]:
    return [verdict, *(below for part in verdict.parts for below in _with_parts(part))]
