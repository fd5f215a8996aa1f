"""Verdicts in words and as tables, the same on every page and in every report."""

from collections.abc import Sequence

import pandas as pd

from app import words
from app.charts_verdict import row_name
from engine.judging import TOLD, Thresholds, Verdict
from engine.spec import Study


def recipe_words(study: Study) -> str:
    """Return what of a recipe stands beside every verdict."""
    recipe = study.recipe
    return (
        f"T = {words.plural(recipe.epochs, 'epoch')}, weight decay {words.number(recipe.weight_decay)}. Both take part "
        "in how much of the initial weights is left, so a verdict is for this recipe and says nothing about others."
    )


def told(verdict: Verdict) -> str:
    """Return a verdict's effect with its interval and n, in words."""
    if verdict.effect is None:
        return verdict.reason
    digits, unit, factor = TOLD[verdict.unit]
    effect, low, high = (
        "" if value is None else words.minus(f"{factor * value:+.{digits}f}")
        for value in (verdict.effect, verdict.low, verdict.high)
    )
    interval = f", interval {low} to {high}" if low else ""
    return f"{effect}{unit}{interval} (n = {verdict.n})"


def numbers(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts and all that they are made of, a row each, ready for CSV.

    Columns: claim, scope, verdict, effect, low, high, unit, n, reason.
    """
    rows = [
        (v.claim, v.place, v.outcome, v.effect, v.low, v.high, v.unit, v.n, v.reason)
        for verdict in verdicts
        for v in _with_parts(verdict)
    ]
    return pd.DataFrame(rows, columns=["claim", "scope", "verdict", "effect", "low", "high", "unit", "n", "reason"])


def thresholds_table(thresholds: Thresholds) -> pd.DataFrame:
    """Return the thresholds as people read them: name, value, what it is and where it comes from."""
    rows = [
        (name.replace("_", " "), f"{getattr(thresholds, name):g}", field.description)
        for name, field in Thresholds.model_fields.items()
    ]
    return pd.DataFrame(rows, columns=["threshold", "value", "what it is"])


def comparisons(verdict: Verdict) -> list[Verdict]:
    """Return what was compared for a verdict, each mean before what it is the mean of; itself where it is one."""
    below = [row for part in verdict.parts for row in comparisons(part)]
    return [verdict, *below] if verdict.over or not below else below


def rules(verdict: Verdict) -> list[str]:
    """Return a verdict's rule and, where it is made of several, theirs."""
    below = [] if verdict.over else [rule for part in verdict.parts for rule in rules(part)]
    return list(dict.fromkeys([verdict.rule, *below]))


def scope(verdict: Verdict, shared: Sequence[str]) -> str:
    """Return in words what a verdict is about, without what is said around it already."""
    names = {"pruner": words.pruner, "network": words.network, "dataset": words.dataset}
    told = {name: names.get(name, str)(value) for name, value in verdict.scope.items() if name not in shared}
    return " · ".join(told.values())


def compared(verdict: Verdict) -> pd.DataFrame:
    """Return what was compared for a verdict: comparison, verdict and effect, a row each."""
    parts = comparisons(verdict)
    return pd.DataFrame(
        {
            "comparison": [row_name(part, verdict.scope) for part in parts],
            "verdict": [part.outcome for part in parts],
            "effect": [told(part) for part in parts],
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
            "ticket minus dense (points)": [told(v.parts[0]) for v in verdicts],
            "ticket minus reinit (points)": [told(v.parts[1]) for v in verdicts],
        }
    )


def _with_parts(verdict: Verdict) -> list[Verdict]:
    return [verdict, *(below for part in verdict.parts for below in _with_parts(part))]
