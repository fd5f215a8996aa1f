"""Verdicts in words and as tables, the same on every page and in every report."""

from collections.abc import Sequence

import pandas as pd

from app import words
from app.charts.forest import AXIS_TITLES, row_name
from app.charts.points import LABEL
from engine.claims import OUTCOMES, Thresholds, Verdict, need
from engine.claims.questions import UNITS, percent
from engine.study.spec import Study


def recipe_words(study: Study) -> str:
    """Return the part of a recipe that every page of verdicts shows."""
    recipe = study.recipe
    return (
        f"T = {words.plural(recipe.epochs, 'epoch')}, weight decay {words.number(recipe.weight_decay)}. Both change "
        "how far trained weights overlap the initial ones: a verdict is for this recipe and says nothing about others."
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
    """Return the number of verdicts of each outcome; verdicts on controls are not counted."""
    return {outcome: sum(v.outcome == outcome and not v.control for v in verdicts) for outcome in OUTCOMES}


def is_shown(verdict: Verdict) -> bool:
    """Return whether a verdict has numbers: where runs are missing, another part of the claim may have its own."""
    return verdict.outcome != "missing" or any(part.effect is not None for part in comparisons(verdict))


def by_chance(verdicts: Sequence[Verdict], others: Sequence[Verdict] = ()) -> str:
    """Return how many verdicts of a page may be wrong by chance, in words; others: those at other learning rates."""
    judged = sum(verdict.outcome != "missing" for verdict in verdicts)
    return (
        f"{words.plural(judged, 'verdict')} on this page: each is wrong at most 5 % of the time, so by chance alone up "
        f"to {0.05 * judged:.1f} of them may be wrong. python -m benchmarks.verdicts measures how often verdicts are "
        "wrong in simulated worlds." + (f" {AT_OTHER_RATES}" if others else "")
    )


# What pages and reports say of the verdicts at other learning rates.
AT_OTHER_RATES = (
    "Lines on other learning rates ask what a claim asks of the low or the high one. Their intervals are widened for "
    "the number of other rates (Bonferroni): for one question and pruner, at most 5 % of studies have any wrong line. "
    "They are no part of the verdicts on the claims, and are not counted with them."
)


def lines(verdicts: Sequence[Verdict]) -> list[tuple[str, list[Verdict]]]:
    """Return verdicts on one claim for lines of their own, or many as one line for each question and pruner.

    A line has its text, empty for a line of one verdict, and its verdicts.
    """
    if len(verdicts) <= MOST_LINES:
        return [("", [verdict]) for verdict in verdicts]
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        key = tuple(value for name, value in verdict.scope.items() if name != "learning_rate")
        groups.setdefault(key, []).append(verdict)
    return [(_outcomes(group) if len(group) > 1 else "", group) for group in groups.values()]


# More verdicts on one claim than this are summed up.
MOST_LINES = 8


def _outcomes(verdicts: Sequence[Verdict]) -> str:
    """Return at how many learning rates verdicts have each outcome: '12 hold (0.001 to 0.01), 3 undecided (0.1)'."""
    texts = []
    for outcome in OUTCOMES:
        rates = [rate_of(verdict) for verdict in verdicts if verdict.outcome == outcome]
        if rates:
            span = (
                words.number(rates[0])
                if len(rates) == 1
                else f"{words.number(min(rates))} to {words.number(max(rates))}"
            )
            texts.append(f"{counted(outcome, len(rates))} ({span})")
    return f"at {len(verdicts)} learning rates, {', '.join(texts)}"


# The words for one verdict of an outcome, and for several.
_COUNTED = {
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "undecided": ("undecided", "undecided"),
    "missing": ("lacks runs", "lack runs"),
}


def counted(outcome: str, count: int) -> str:
    """Return the number of verdicts of an outcome in words, such as "1 holds" and "2 hold"."""
    one, several = _COUNTED[outcome]
    return f"{count} {one if count == 1 else several}"


def rate_of(verdict: Verdict) -> float:
    """Return the learning rate in a verdict's scope."""
    return float(verdict.scope["learning_rate"].removeprefix("learning rate "))


def over_seeds(test_images: int | None) -> str:
    """Return the scope of intervals in words: seeds, but one test set; test_images: its number of images."""
    text = "Intervals are over seeds, on one fixed test set: they say nothing about other test images."
    if test_images:
        half = 1.96 * 100 * (0.9 * 0.1 / test_images) ** 0.5
        text += (
            f" It has {words.plural(test_images, 'image')}: a point of accuracy is {test_images / 100:.3g} of them, "
            f"and another test set of this size would move an accuracy near 90 % by ±{half:.2g} points (95 %). The "
            "difference between two accuracies would move less, since both are measured on the same images."
        )
    return f"{text} Accuracies are of the last epoch; a best epoch, where one is shown, is chosen on the test images."


def needed(verdict: Verdict) -> str:
    """Return the seeds that would decide an undecided verdict, in words; empty for other verdicts."""
    missing = need(verdict)
    return "" if missing is None else missing.sentence


def widened(verdicts: Sequence[Verdict]) -> str:
    """Return why claim A4 has wider intervals than the table of the winning property; empty without claim A4."""
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
        f"Claim A4 looks at all sparsities and needs one that has the property, so its intervals at the low rate are "
        f"wider ({percent(max(levels))}) than those of this table, which are for one sparsity at a time."
    )


def numbers(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts and all their parts for CSV, a row each.

    Columns: claim, scope, verdict, effect, low, high, confidence (of the interval), unit, n, reason, control, needs
    (the seeds that would decide it).
    """
    interval = ["effect", "low", "high", "confidence", "unit", "n"]
    columns = ["claim", "scope", "verdict", *interval, "reason", "control", "needs"]
    rows = [
        (v.claim, v.place, v.outcome, v.effect, v.low, v.high, round(v.level, 4), v.unit, v.n, v.reason,
         verdict.control, needed(verdict) if v is verdict else "")
        for verdict in verdicts
        for v in _with_parts(verdict)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def thresholds_table(thresholds: Thresholds) -> pd.DataFrame:
    """Return the thresholds as a table: name, value, and meaning with its source."""
    rows = [
        (name.replace("_", " "), f"{getattr(thresholds, name):g}", field.description)
        for name, field in Thresholds.model_fields.items()
    ]
    return pd.DataFrame(rows, columns=["threshold", "value", "what it is"])


def comparisons(verdict: Verdict) -> list[Verdict]:
    """Return the comparisons of a verdict, each mean before its parts; a verdict without parts is a comparison."""
    of_parts = [row for part in verdict.parts for row in comparisons(part)]
    return [verdict, *of_parts] if verdict.over or not of_parts else of_parts


def rules(verdict: Verdict) -> list[str]:
    """Return a verdict's rule, and the rules of the means that it combines."""
    of_parts = [rule for part in verdict.parts if part.over for rule in rules(part)]
    return list(dict.fromkeys([verdict.rule, *of_parts]))


def scope(verdict: Verdict, shared: Sequence[str]) -> str:
    """Return a verdict's scope in words, without the fields that the text around it names."""
    names = {"pruner": words.pruner, "network": words.network, "dataset": words.dataset}
    parts = [names.get(name, str)(value) for name, value in verdict.scope.items() if name not in shared]
    return " · ".join(parts)


def compared(verdict: Verdict) -> pd.DataFrame:
    """Return the comparisons of a verdict as a table, a row each, in the numbers that readers see."""
    parts = comparisons(verdict)
    return pd.DataFrame(
        {
            "comparison": [row_name(part, verdict.scope) for part in parts],
            "verdict": [part.outcome for part in parts],
            **_effects(parts, _effect_title(parts)),
            "confidence": [percent(part.level) if part.low is not None else "" for part in parts],
            "n": [part.n for part in parts],
        }
    )


def by_rate(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts on one claim at several learning rates as a table, a row each."""
    return pd.DataFrame(
        {
            "learning rate": [rate_of(verdict) for verdict in verdicts],
            "comparison": [scope(verdict, ("dataset", "network", "learning_rate")) for verdict in verdicts],
            "verdict": [verdict.outcome for verdict in verdicts],
            **_effects(verdicts, _effect_title(verdicts)),
            "confidence": [percent(verdict.level) if verdict.low is not None else "" for verdict in verdicts],
            "n": [verdict.n for verdict in verdicts],
        }
    )


def winning(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return verdicts on the winning property as a table: a row for each learning rate, pruner and sparsity."""
    dense, reinit = ([verdict.parts[index] for verdict in verdicts] for index in (0, 1))
    return pd.DataFrame(
        {
            "learning rate": [rate_of(v) for v in verdicts],
            "pruner": [words.pruner(v.scope["pruner"]) for v in verdicts],
            "sparsity (%)": [float(v.scope["sparsity"].removeprefix("sparsity ").removesuffix(" %")) for v in verdicts],
            "winning property": [v.outcome for v in verdicts],
            **_effects(dense, "ticket minus dense"),
            **_effects(reinit, "ticket minus reinit"),
            "n": [min(one.n, other.n) for one, other in zip(dense, reinit, strict=True)],
        }
    )


def _effect_title(parts: Sequence[Verdict]) -> str:
    """Return the title of a column of effects, with their unit where all have the same."""
    units = {part.unit for part in parts}
    return f"effect ({AXIS_TITLES[units.pop()]})" if len(units) == 1 else "effect"


def _effects(parts: Sequence[Verdict], title: str) -> dict[str, list[float | None]]:
    """Return the effects of verdicts and the two ends of their intervals as columns of a table."""

    def shown(part: Verdict, value: float | None) -> float | None:
        digits, _, factor = UNITS[part.unit]
        return None if value is None else round(factor * value, digits)

    return {
        title: [shown(part, part.effect) for part in parts],
        f"{title}{LABEL}from": [shown(part, part.low) for part in parts],
        f"{title}{LABEL}to": [shown(part, part.high) for part in parts],
    }


def _with_parts(verdict: Verdict) -> list[Verdict]:
    return [verdict, *(row for part in verdict.parts for row in _with_parts(part))]
